import DFSCore
package import Logging
import Synchronization

/// Runs the jobs of a coordinator side by side until it is cancelled: each job one step after another, at the
/// pace that the steps ask for. A failing job waits longer and longer, up to half a minute, and never stops.
package final class JobRunner<JobClock: Clock>: Sendable where JobClock.Duration == Duration {
  private let jobs: [any Job]
  private let clock: JobClock
  private let logger: Logger
  private let statuses: Mutex<[String: JobStatus]>

  package init(jobs: [any Job], clock: JobClock, logger: Logger) {
    self.jobs = jobs
    self.clock = clock
    self.logger = logger
    statuses = Mutex(
      Dictionary(jobs.map { ($0.name, JobStatus(name: $0.name)) }, uniquingKeysWith: { first, _ in first }))
  }

  /// Lives until it is cancelled; returns when every job has finished its step.
  package func run() async {
    await withTaskGroup(of: Void.self) { group in
      for job in jobs { group.addTask { await self.run(job) } }
    }
  }

  /// Every job, in order of name.
  package var status: [JobStatus] { statuses.withLock { $0.values.sorted { $0.name < $1.name } } }

  private func run(_ job: any Job) async {
    var failures = 0
    while !Task.isCancelled {
      let pause: Duration
      do {
        pause = try await job.step().pause
        failures = 0
        record(job, failure: nil)
      } catch {
        if Task.isCancelled { return }
        failures += 1
        pause = min(.seconds(30), .milliseconds(500) * (1 << min(failures - 1, 6)))
        record(job, failure: "\(error)")
        if failures == 1 || failures % 20 == 0 {
          logger.warning(
            "job failed", metadata: ["job": "\(job.name)", "error": "\(error)", "failures": "\(failures)"])
        }
      }
      if pause > .zero {
        do { try await clock.sleep(for: pause) } catch { return }
      } else {
        await Task.yield()
      }
    }
  }

  private func record(_ job: any Job, failure: String?) {
    statuses.withLock { statuses in
      statuses[job.name]?.steps += 1
      if failure != nil { statuses[job.name]?.failures += 1 }
      statuses[job.name]?.lastError = failure
      statuses[job.name]?.lastStep = ContinuousClock.now
    }
  }
}

extension Pace {
  fileprivate var pause: Duration {
    switch self {
    case .atOnce: .zero
    case .after(let duration): duration
    }
  }
}
