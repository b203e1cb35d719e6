package import DFSCore
package import Logging
import Synchronization

/// Runs the jobs of a process side by side until it is cancelled: each job one step after another, at the pace
/// that the steps ask for and an operator allows. A failing job waits longer and longer, up to half a minute,
/// and never stops; a job never ends its process.
package final class JobRunner: Sendable {
  /// One job with everything that its loop and its operators share.
  private final class Seat: Sendable {
    struct State: Sendable {
      var job = JobState()
      /// The pause that the loop is in.
      var sleep: Task<Void, Never>?
      /// An operator wants a step, or a look at the state, while the loop is not in a pause.
      var isAwake = false
    }
    let job: any Job
    let state = Mutex(State())

    init(_ job: any Job) { self.job = job }

    /// Ends the pause of the loop, or the next one before it begins.
    func wake() {
      state.withLock { state in
        if let sleep = state.sleep { sleep.cancel() } else { state.isAwake = true }
      }
    }
  }

  private let seats: [Seat]
  private let clock: JobClock
  private let logger: Logger

  /// A paused job looks again after so long, and not because anything depends on it.
  private static let pausedSleep = Duration.seconds(86_400)

  /// The names must differ.
  package init(jobs: [any Job], clock: JobClock, logger: Logger) {
    precondition(Set(jobs.map(\.name)).count == jobs.count, "two jobs have one name")
    seats = jobs.sorted { $0.name < $1.name }.map { Seat($0) }
    self.clock = clock
    self.logger = logger
  }

  /// Lives until it is cancelled; returns when every job has finished its step. Call it once.
  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      for seat in seats { group.addTask { await self.run(seat) } }
    }
  }

  /// Every job, in order of name.
  package var status: [JobStatus] { seats.map { status(of: $0) } }

  /// Does what an operator wants and gives the job as it stands then. Throws `.notFound` when no job has the
  /// name, and `.failedPrecondition` for what this job does not allow.
  @discardableResult
  package func control(_ name: String, _ action: JobAction) throws -> JobStatus {
    guard let seat = seats.first(where: { $0.job.name == name }) else {
      throw DFSError(
        .notFound,
        "there is no job \(name) here; there are \(seats.map(\.job.name).joined(separator: ", "))")
    }
    let percent = try seat.state.withLock { state in
      try state.job.apply(action, to: seat.job)
      return state.job.isPaused ? 0 : state.job.pacePercent
    }
    if action == .run { seat.job.beginPass() } else { seat.job.changePace(percent: percent) }
    if action != .pause { seat.wake() }
    logger.notice("job controlled", metadata: ["job": "\(name)", "action": "\(action)"])
    return status(of: seat)
  }

  private func status(of seat: Seat) -> JobStatus {
    seat.state.withLock { $0.job.status(of: seat.job, now: clock.elapsed()) }
  }

  private func run(_ seat: Seat) async {
    while !Task.isCancelled {
      if seat.state.withLock({ $0.job.isPaused }) {
        await sleep(Self.pausedSleep, at: seat)
        continue
      }
      let pause = await step(seat)
      if pause > .zero { await sleep(pause, at: seat) } else { await Task.yield() }
    }
  }

  /// One step; gives the pause after it.
  private func step(_ seat: Seat) async -> Duration {
    let job = seat.job
    seat.state.withLock { state in
      state.isAwake = false
      state.job.begin(job.progress, now: clock.elapsed())
    }
    do {
      let pace = try await job.step()
      return seat.state.withLock { $0.job.finish(pace, job.progress, now: clock.elapsed()) }
    } catch {
      if Task.isCancelled { return .zero }
      let (pause, failures) = seat.state.withLock { state in
        (state.job.fail("\(error)", job.progress, now: clock.elapsed()), state.job.failuresInRow)
      }
      if failures == 1 || failures % 20 == 0 {
        logger.warning(
          "job failed", metadata: ["job": "\(job.name)", "error": "\(error)", "failures": "\(failures)"])
      }
      return pause
    }
  }

  /// Returns when the time is over, the seat is woken or the task cancelled.
  private func sleep(_ duration: Duration, at seat: Seat) async {
    let sleep: Task<Void, Never>? = seat.state.withLock { [clock] state in
      if state.isAwake {
        state.isAwake = false
        return nil
      }
      let sleep = Task { _ = try? await clock.sleep(duration) }
      state.sleep = sleep
      return sleep
    }
    guard let sleep else { return }
    await withTaskCancellationHandler {
      await sleep.value
    } onCancel: {
      sleep.cancel()
    }
    seat.state.withLock { $0.sleep = nil }
  }
}
