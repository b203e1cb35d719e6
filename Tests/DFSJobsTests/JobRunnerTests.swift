import DFSCore
import Logging
import Synchronization
import TestSupport
import Testing

@testable import DFSJobs

/// A job whose steps a test scripts.
private final class ScriptedJob: Job {
  let name: String
  let what = "does what a test says"
  let isVital: Bool
  private struct State {
    var steps = 0
    var passes = 0
    var percent = 100
    var done: UInt64 = 0
  }
  private let state = Mutex(State())
  private let script: @Sendable (Int) throws -> Pace

  init(_ name: String = "scripted", isVital: Bool = false, script: @escaping @Sendable (Int) throws -> Pace) {
    (self.name, self.isVital, self.script) = (name, isVital, script)
  }

  var steps: Int { state.withLock { $0.steps } }
  var passes: Int { state.withLock { $0.passes } }
  var percent: Int { state.withLock { $0.percent } }
  var progress: JobProgress? {
    state.withLock { JobProgress(done: $0.done, total: 100, unit: "chunks") }
  }

  func step() async throws -> Pace {
    let step = state.withLock { state in
      state.steps += 1
      state.done += 10
      return state.steps
    }
    return try script(step)
  }
  func beginPass() {
    state.withLock { state in
      state.passes += 1
      state.done = 0
    }
  }
  func changePace(percent: Int) { state.withLock { $0.percent = percent } }
}

@Suite(.timeLimit(.minutes(1)))
struct JobRunnerTests {
  private let clock = ManualClock()

  /// Runs the jobs while `body` runs.
  private func run(_ jobs: [any Job], _ body: (JobRunner) async throws -> Void) async throws {
    let runner = JobRunner(
      jobs: jobs, clock: JobClock(clock), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let running = Task { await runner.run() }
    let result: Result<Void, any Error>
    do { result = .success(try await body(runner)) } catch { result = .failure(error) }
    running.cancel()
    await running.value
    try result.get()
  }

  private func sleeping(_ count: Int = 1) async { while clock.sleeperCount < count { await Task.yield() } }

  @Test func `a failing job waits longer each time and goes on`() async throws {
    let job = ScriptedJob { step in
      if step <= 3 { throw DFSError(.unavailable, "not yet") }
      return .after(.seconds(5))
    }
    try await run([job]) { runner async throws in
      for (attempt, pause) in [(1, 500), (2, 1000), (3, 2000), (4, 5000)] {
        await sleeping()
        #expect(job.steps == attempt)
        clock.advance(by: .milliseconds(pause - 1))
        #expect(clock.sleeperCount == 1)
        clock.advance(by: .milliseconds(1))
        while job.steps == attempt { await Task.yield() }
      }
      await sleeping()
      #expect(runner.status.first?.failures == 3)
      #expect(runner.status.first?.lastError == nil)
    }
  }

  @Test func `jobs run side by side, each at its own pace`() async throws {
    let slow = ScriptedJob("slow") { _ in .after(.seconds(30)) }
    let quick = ScriptedJob("quick") { _ in .after(.seconds(10)) }
    try await run([slow, quick]) { runner async throws in
      for _ in 0..<3 {
        await sleeping(2)
        clock.advance(by: .seconds(10))
      }
      while slow.steps < 2 || quick.steps < 4 { await Task.yield() }
      #expect(runner.status.map(\.name) == ["quick", "slow"])
    }
  }

  @Test func `a paused job takes no step until it is resumed`() async throws {
    let job = ScriptedJob { _ in .after(.seconds(1)) }
    try await run([job]) { runner async throws in
      await sleeping()
      #expect(try runner.control("scripted", .pause).isPaused)
      clock.advance(by: .seconds(1))
      await sleeping()
      clock.advance(by: .seconds(100))
      #expect(job.steps == 1)
      let refusal = #expect(throws: DFSError.self) { try runner.control("scripted", .run) }
      #expect(refusal?.message == "job scripted is paused: resume it first")
      #expect(try !runner.control("scripted", .resume).isPaused)
      while job.steps < 2 { await Task.yield() }
    }
  }

  @Test func `a job is told that it is paused, and its pace when it goes on`() async throws {
    let job = ScriptedJob { _ in .after(.seconds(1)) }
    try await run([job]) { runner async throws in
      await sleeping()
      try runner.control("scripted", .pace(percent: 50))
      try runner.control("scripted", .pause)
      #expect(job.percent == 0)
      try runner.control("scripted", .pace(percent: 30))
      #expect(job.percent == 0, "it is paused all the same")
      try runner.control("scripted", .resume)
      #expect(job.percent == 30)
      try runner.control("scripted", .run)
      #expect(job.percent == 30)
    }
  }

  @Test func `an operator's wish for a step now begins a new pass at once`() async throws {
    let job = ScriptedJob { _ in .after(.seconds(3600)) }
    try await run([job]) { runner async throws in
      await sleeping()
      try runner.control("scripted", .run)
      while job.steps < 2 { await Task.yield() }
      #expect(job.passes == 1)
    }
  }

  @Test func `a pace stretches or shortens the pauses, and the job is told`() async throws {
    let job = ScriptedJob { _ in .after(.seconds(10)) }
    try await run([job]) { runner async throws in
      await sleeping()
      #expect(try runner.control("scripted", .pace(percent: 200)).pacePercent == 200)
      while job.steps < 2 { await Task.yield() }
      await sleeping()
      clock.advance(by: .seconds(5))
      while job.steps < 3 { await Task.yield() }
      #expect(job.percent == 200)
      #expect(throws: DFSError.self) { try runner.control("scripted", .pace(percent: 0)) }
    }
  }

  @Test func `a vital job can be hurried, but neither paused nor slowed down`() async throws {
    let job = ScriptedJob(isVital: true) { _ in .after(.seconds(10)) }
    try await run([job]) { runner async throws in
      #expect(throws: DFSError.self) { try runner.control("scripted", .pause) }
      #expect(throws: DFSError.self) { try runner.control("scripted", .pace(percent: 50)) }
      #expect(try runner.control("scripted", .pace(percent: 300)).pacePercent == 300)
      try runner.control("scripted", .run)
    }
  }

  @Test func `an unknown job is refused with the names that there are`() async throws {
    try await run([ScriptedJob { _ in .after(.seconds(1)) }]) { runner async throws in
      let refusal = #expect(throws: DFSError.self) { try runner.control("scrap", .pause) }
      #expect(refusal?.code == .notFound)
      #expect(refusal?.message == "there is no job scrap here; there are scripted")
    }
  }
}
