import DFSCore
import Logging
import NIOConcurrencyHelpers

/// How a job stands.
package struct JobStatus: Sendable {
  package var name: String
  package var steps = 0
  package var failures = 0
  package var isWorking = false
  /// Of the last step that failed; empty after one that did not.
  package var lastError = ""
}

/// Runs every job of the node side by side. A step that fails is logged and tried again; a job never ends the
/// node.
final class JobRunner: Sendable {
  private let jobs: [any Job]
  private let clock: NodeClock
  private let logger: Logger
  private let state: NIOLockedValueBox<[JobStatus]>

  /// After a failed step.
  private static let retry: Duration = .seconds(5)

  init(_ jobs: [any Job], clock: NodeClock, logger: Logger) {
    self.jobs = jobs
    self.clock = clock
    self.logger = logger
    state = NIOLockedValueBox(jobs.map { JobStatus(name: $0.name) })
  }

  var status: [JobStatus] { state.withLockedValue { $0 } }

  /// Returns when cancelled.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      for index in jobs.indices { group.addTask { await self.run(index) } }
    }
  }

  private func run(_ index: Int) async {
    while !Task.isCancelled {
      state.withLockedValue { $0[index].isWorking = true }
      let pause = await step(index)
      state.withLockedValue { $0[index].isWorking = false }
      do { try await clock.sleep(pause) } catch { return }
    }
  }

  private func step(_ index: Int) async -> Duration {
    do {
      let pause = try await jobs[index].step()
      state.withLockedValue {
        $0[index].steps += 1
        $0[index].lastError = ""
      }
      return pause
    } catch {
      guard !Task.isCancelled else { return .zero }
      let isNews = state.withLockedValue { status in
        defer { status[index].lastError = "\(error)" }
        status[index].failures += 1
        return status[index].lastError != "\(error)"
      }
      if isNews {
        logger.warning(
          "a job failed and will try again", metadata: ["job": "\(jobs[index].name)", "reason": "\(error)"])
      }
      return Self.retry
    }
  }
}
