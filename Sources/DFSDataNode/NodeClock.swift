import DFSJobs

/// Time as an argument: what this node asks for the time and sleeps on.
package struct NodeClock: Sendable {
  package let now: @Sendable () -> ContinuousClock.Instant
  /// Throws `CancellationError` when the sleeping task is cancelled.
  package let sleep: @Sendable (Duration) async throws -> Void

  package init(
    now: @escaping @Sendable () -> ContinuousClock.Instant,
    sleep: @escaping @Sendable (Duration) async throws -> Void
  ) {
    self.now = now
    self.sleep = sleep
  }

  package static let continuous = NodeClock(
    now: { ContinuousClock.now }, sleep: { try await Task.sleep(for: $0, clock: .continuous) })
}

extension NodeClock {
  /// The same time, as the runner of jobs takes it.
  var forJobs: JobClock {
    let (now, start) = (now, now())
    return JobClock(elapsed: { now() - start }, sleep: sleep)
  }
}
