/// The time that jobs run by: a length since some fixed moment, and a way to wait.
package struct JobClock: Sendable {
  let elapsed: @Sendable () -> Duration
  let sleep: @Sendable (Duration) async throws -> Void

  /// `sleep` throws when the sleeping task is cancelled.
  package init(
    elapsed: @escaping @Sendable () -> Duration, sleep: @escaping @Sendable (Duration) async throws -> Void
  ) {
    self.elapsed = elapsed
    self.sleep = sleep
  }

  package init<Time: Clock>(_ clock: Time) where Time.Duration == Duration {
    let start = clock.now
    self.init(elapsed: { start.duration(to: clock.now) }, sleep: { try await clock.sleep(for: $0) })
  }
}
