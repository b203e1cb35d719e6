import DFSCore
import TestSupport
import Testing

@testable import DFSClient

struct RequestIDTests {
  private let start = ContinuousClock.now

  @Test func `a client that has seen no answer, or none for long, looks before it makes an id`() {
    var ids = RequestIDs()
    #expect(!ids.isFresh(now: start))
    ids.saw(Revision(rawValue: 7), now: start)
    #expect(ids.isFresh(now: start + .seconds(599)))
    #expect(!ids.isFresh(now: start + .seconds(600)))
    ids.saw(Revision(rawValue: 5), now: start + .seconds(700))
    #expect(ids.isFresh(now: start + .seconds(800)))
    var random = SeededGenerator(seed: 1)
    #expect(ids.next(using: &random).seen == Revision(rawValue: 7))
  }
}
