import DFSCore
import Testing

@testable import DFSDataNode

@Suite struct BackgroundPaceTests {
  private let start = ContinuousClock.now

  private func after(_ milliseconds: Int) -> ContinuousClock.Instant {
    start.advanced(by: .milliseconds(milliseconds))
  }

  @Test func `without a rate and without clients there is no pause`() {
    var pace = BackgroundPace()
    for step in 0..<100 {
      #expect(pace.pause(after: 8 << 20, took: .milliseconds(40), at: after(step)) == .zero)
    }
  }

  @Test func `a rate is kept over many pieces, whoever does them`() {
    var limits = BackgroundPace.Limits()
    limits.rate = .mib(10)
    var pace = BackgroundPace(limits)
    // Four workers, each resting as it is told.
    var due = Array(repeating: start, count: 4)
    var bytes = 0
    let end = after(10_000)
    while let next = due.indices.min(by: { due[$0] < due[$1] }), due[next] < end {
      let now = due[next].advanced(by: .milliseconds(5))
      due[next] = now.advanced(by: pace.pause(after: 1 << 20, took: .milliseconds(5), at: now))
      bytes += 1 << 20
    }
    // Ten seconds at 10 MiB, what is caught up on at the beginning, and what each worker holds at the end.
    #expect(bytes > 98 << 20 && bytes < 108 << 20, "\(bytes)")
  }

  @Test func `while clients are served only a part of the time is used, however many work`() {
    var limits = BackgroundPace.Limits()
    limits.busyShare = 0.2
    var pace = BackgroundPace(limits)
    for workers in [1, 2, 4] {
      var due = Array(repeating: start, count: workers)
      var worked = Duration.zero
      let end = after(60_000)
      while let next = due.indices.min(by: { due[$0] < due[$1] }), due[next] < end {
        let now = due[next].advanced(by: .milliseconds(10))
        pace.noteForeground(at: now)
        due[next] = now.advanced(by: pace.pause(after: 1 << 20, took: .milliseconds(10), at: now))
        worked += .milliseconds(10)
      }
      #expect(worked > .seconds(11) && worked < .seconds(13), "\(workers) workers: \(worked)")
      pace = BackgroundPace(limits)
    }
  }

  @Test func `the whole disk is free again a moment after the last client`() {
    var pace = BackgroundPace()
    pace.noteForeground(at: start)
    #expect(pace.isBusy(at: after(299)))
    #expect(!pace.isBusy(at: after(300)))
    #expect(pace.pause(after: 1 << 20, took: .milliseconds(10), at: after(100)) == .milliseconds(190))
    #expect(pace.pause(after: 1 << 20, took: .milliseconds(10), at: after(400)) == .zero)
  }

  @Test func `under any load repair goes on: no pause for clients is longer than a second`() {
    var pace = BackgroundPace()
    for step in 0..<50 {
      let now = after(step * 10)
      pace.noteForeground(at: now)
      #expect(pace.pause(after: 1 << 20, took: .seconds(2), at: now) <= .seconds(1))
    }
  }
}
