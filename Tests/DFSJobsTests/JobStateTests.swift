import DFSCore
import Testing

@testable import DFSJobs

private struct Silent: Job {
  let name = "silent"
  let what = "counts nothing"
  func step() async throws -> Pace { .atOnce }
}

struct JobStateTests {
  private func at(_ seconds: Double) -> Duration { .milliseconds(Int64(seconds * 1000)) }
  private func chunks(_ done: UInt64, of total: UInt64? = 1000) -> JobProgress {
    JobProgress(done: done, total: total, unit: "chunks")
  }

  @Test func `the rate is the mean of the last minute, and gives the time left`() {
    var meter = RateMeter()
    for second in 0...120 {
      let done = second < 60 ? second : 60 + (second - 60) * 5
      meter.add(chunks(UInt64(done)), now: at(Double(second)))
    }
    #expect(meter.rate(now: at(120)) == 5)
    #expect(meter.timeLeft(chunks(360), now: at(120)) == .seconds(128))
  }

  @Test func `a rate sinks when nothing happens any more, and nothing is promised then`() {
    var meter = RateMeter()
    for second in 0...10 { meter.add(chunks(UInt64(second) * 10), now: at(Double(second))) }
    #expect(meter.rate(now: at(10)) == 10)
    #expect(meter.rate(now: at(100)) == 1)
    for second in 11...200 { meter.add(chunks(100), now: at(Double(second))) }
    #expect(meter.rate(now: at(200)) == 0)
    #expect(meter.timeLeft(chunks(100), now: at(200)) == nil)
  }

  @Test func `a new pass is measured anew, and a count without an end has no time left`() {
    var meter = RateMeter()
    meter.add(chunks(0), now: at(0))
    meter.add(chunks(900), now: at(10))
    meter.add(chunks(5), now: at(11))
    #expect(meter.rate(now: at(11)) == 0)
    meter.add(chunks(25), now: at(13))
    #expect(meter.rate(now: at(13)) == 10)
    #expect(meter.timeLeft(chunks(25, of: nil), now: at(13)) == nil)
    #expect(meter.timeLeft(chunks(1000), now: at(13)) == .zero)
  }

  @Test func `many looks in a short time are one`() {
    var meter = RateMeter()
    for look in 0...10_000 { meter.add(chunks(UInt64(look)), now: at(Double(look) / 1000)) }
    #expect(abs(meter.rate(now: at(10)) - 1000) < 1)
  }

  @Test func `half the pace leaves half of the time free`() throws {
    var state = JobState()
    try state.apply(.pace(percent: 50), to: Silent())
    state.begin(nil, now: at(0))
    #expect(state.finish(.atOnce, nil, now: at(2)) == .seconds(2))
    state.begin(nil, now: at(4))
    #expect(state.finish(.after(.seconds(10)), nil, now: at(5)) == .seconds(20))
    try state.apply(.pace(percent: 1000), to: Silent())
    state.begin(nil, now: at(6))
    #expect(state.finish(.atOnce, nil, now: at(7)) == .zero)
    state.begin(nil, now: at(8))
    #expect(state.finish(.after(.seconds(10)), nil, now: at(9)) == .seconds(1))
  }

  @Test func `the status tells of steps, failures and time since`() {
    var state = JobState()
    #expect(state.status(of: Silent(), now: at(0)).sinceLastStep == nil)
    state.begin(nil, now: at(1))
    #expect(state.status(of: Silent(), now: at(1)).isWorking)
    #expect(state.fail("no", nil, now: at(2)) == .milliseconds(500))
    var status = state.status(of: Silent(), now: at(5))
    #expect(status.lastError == "no" && status.failures == 1 && status.steps == 1 && !status.isWorking)
    #expect(status.sinceLastStep == .seconds(3) && status.progress == nil && status.rate == 0)
    for _ in 0..<20 {
      state.begin(nil, now: at(6))
      _ = state.fail("no", nil, now: at(6))
    }
    state.begin(nil, now: at(6))
    #expect(state.fail("no", nil, now: at(6)) == .seconds(30))
    state.begin(nil, now: at(7))
    _ = state.finish(.atOnce, nil, now: at(8))
    status = state.status(of: Silent(), now: at(8))
    #expect(status.lastError == nil && status.failures == 22 && status.steps == 23)
  }
}
