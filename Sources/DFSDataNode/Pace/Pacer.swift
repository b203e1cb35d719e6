import NIOConcurrencyHelpers

/// Makes background work wait as `BackgroundPace` says; one for the whole node.
final class Pacer: Sendable {
  private let pace: NIOLockedValueBox<BackgroundPace>
  private let clock: NodeClock

  init(_ limits: BackgroundPace.Limits, clock: NodeClock) {
    pace = NIOLockedValueBox(BackgroundPace(limits))
    self.clock = clock
  }

  /// Told of every piece that a client sends or gets.
  func noteForeground() {
    let now = clock.now()
    pace.withLockedValue { $0.noteForeground(at: now) }
  }

  /// What to wait after a piece of background work; for those who do the waiting themselves.
  func pause(after bytes: Int, took: Duration) -> Duration {
    let now = clock.now()
    return pace.withLockedValue { $0.pause(after: bytes, took: took, at: now) }
  }

  /// Waits after a piece of background work. Throws `CancellationError`.
  func rest(after bytes: Int, took: Duration) async throws {
    let pause = pause(after: bytes, took: took)
    if pause > .zero { try await clock.sleep(pause) }
  }
}
