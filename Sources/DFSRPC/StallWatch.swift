import NIOConcurrencyHelpers

/// Tells whether a task waits for its peer, and since when. A consumer that takes its time is not the peer's
/// fault, so only the waiting counts.
package final class StallWatch: Sendable {
  private let waitingSince = NIOLockedValueBox<ContinuousClock.Instant?>(nil)

  package init() {}

  /// Runs `body` as a time of waiting for the peer.
  package func waiting<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async rethrows -> Result {
    waitingSince.withLockedValue { $0 = .now }
    defer { waitingSince.withLockedValue { $0 = nil } }
    return try await body()
  }

  /// How long the present wait has lasted; nothing is waited for at zero.
  package var waited: Duration { waitingSince.withLockedValue { $0 }.map { $0.duration(to: .now) } ?? .zero }

  /// Returns when one wait has lasted `limit`. Throws `CancellationError`.
  package func stalled(after limit: Duration) async throws {
    while true {
      let since = waitingSince.withLockedValue { $0 }
      let waited = since.map { $0.duration(to: .now) } ?? .zero
      if waited >= limit { return }
      // Looks again when the present wait would be too long; a new one began later.
      try await Task.sleep(for: max(.milliseconds(20), since == nil ? limit / 4 : limit - waited))
    }
  }
}
