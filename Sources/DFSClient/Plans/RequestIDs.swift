import DFSCore

/// Makes the ids of mutations. Each begins with the highest revision that this client has seen, so that a coordinator
/// which has forgotten old results can tell an old id from a new one.
struct RequestIDs: Sendable {
  private(set) var seen: Revision = .zero

  mutating func saw(_ revision: Revision) { seen = max(seen, revision) }

  mutating func next(using generator: inout some RandomNumberGenerator) -> RequestID {
    RequestID.random(seen: seen, using: &generator)
  }
}
