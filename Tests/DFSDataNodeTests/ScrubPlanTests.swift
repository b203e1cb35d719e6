import DFSChunkStore
import DFSCore
import Testing

@testable import DFSDataNode

@Suite struct ScrubPlanTests {
  private let day = Duration.seconds(86_400)

  private func place(_ number: Int) -> ChunkPlace {
    ChunkPlace(
      chunk: ChunkID(inode: InodeID(rawValue: UInt64(number)), index: 0), group: GroupID(rawValue: 1))
  }

  /// Runs one pass over `chunks` of `bytes` each; answers how long it took.
  private func pass(
    _ plan: inout ScrubPlan, chunks: Int, bytes: Int, reading: Duration = .milliseconds(80),
    stored: (_ done: Int) -> ByteCount
  ) -> Duration {
    var time = Duration.zero
    for number in 0..<chunks {
      while true {
        let pause = plan.pause(stored: stored(number))
        guard pause > .zero else { break }
        #expect(pause <= .seconds(60))
        time += pause
      }
      time += reading
      plan.passed(place(number), bytes: bytes)
    }
    return time
  }

  @Test func `a pass takes most of the period and never more, large store or small`() {
    for chunks in [3, 1000, 20_000] {
      var plan = ScrubPlan(ScrubRecord(), period: day * 14)
      plan.begin(at: 1, hurried: false)
      let took = pass(&plan, chunks: chunks, bytes: 8 << 20) { _ in ByteCount(chunks << 23) }
      #expect(took <= day * 14, "\(chunks) chunks took \(took)")
      #expect(took >= day * 14 * (chunks - 1) / chunks * 3 / 4, "\(chunks) chunks took \(took)")
    }
  }

  @Test func `a store that has grown does not wait out the pause of a small one`() {
    var plan = ScrubPlan(ScrubRecord(), period: day * 14)
    plan.begin(at: 1, hurried: false)
    plan.passed(place(1), bytes: 1000)
    // Alone, this chunk is good for eleven days of waiting.
    #expect(plan.pause(stored: ByteCount(1000)) == .seconds(60))
    let grown = plan.pause(stored: .gib(1024))
    #expect(grown < .milliseconds(10))
    #expect(plan.pause(stored: .gib(1024)) == .zero)
  }

  @Test func `a hurried pass does not pause, and the one after it does`() {
    var plan = ScrubPlan(ScrubRecord(), period: day * 14)
    plan.begin(at: 5, hurried: true)
    #expect(pass(&plan, chunks: 100, bytes: 8 << 20, reading: .zero) { _ in .mib(800) } == .zero)
    plan.end(at: 9)
    #expect(plan.record.endedAt == 9 && plan.record.beganAt == 9 && !plan.record.isHurried)
    #expect(plan.record.done == 0 && plan.record.cursor == nil)
    #expect(plan.pause(stored: .mib(800)) == .seconds(60))
  }

  @Test func `a chunk that can not be judged is tried three times, then passed by`() {
    var plan = ScrubPlan(ScrubRecord(), period: day)
    let passedBy = (0..<3).map { _ in plan.stumbled() }
    #expect(passedBy == [false, false, true])
    plan.passed(place(1), bytes: 0)
    let again = plan.stumbled()
    #expect(!again)
    #expect(plan.record.done == 1 && plan.record.bad == 0)
  }

  @Test func `a clock that was set back makes the last pass young, never negative`() {
    var plan = ScrubPlan(ScrubRecord(), period: day)
    #expect(plan.sinceEnd(now: 50) == nil)
    plan.end(at: 100)
    #expect(plan.sinceEnd(now: 50) == .zero)
    #expect(plan.sinceEnd(now: 350) == .milliseconds(250))
  }
}
