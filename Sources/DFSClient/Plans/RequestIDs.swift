import DFSCore

/// Makes the ids of mutations. Each begins with the highest revision that this client has seen, so that a
/// coordinator which has forgotten old results can tell an old id from a new one.
struct RequestIDs: Sendable {
  /// How long a revision is good for new ids. Much shorter than the hours for which results are kept, so that
  /// a new id is never below the coordinator's floor, where it would be refused as of unknown outcome.
  static let freshness: Duration = .seconds(600)

  private(set) var seen: Revision = .zero
  private var lastSeen: ContinuousClock.Instant?

  mutating func saw(_ revision: Revision, now: ContinuousClock.Instant) {
    seen = max(seen, revision)
    lastSeen = now
  }

  /// Whether an id made now is young enough. It is not in a client that has seen no answer yet, or none for
  /// long.
  func isFresh(now: ContinuousClock.Instant) -> Bool {
    lastSeen.map { $0.duration(to: now) < Self.freshness } ?? false
  }

  mutating func next(using generator: inout some RandomNumberGenerator) -> RequestID {
    RequestID.random(seen: seen, using: &generator)
  }
}
