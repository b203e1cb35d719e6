package import DFSCore
import DFSKeyValue

extension Namespace {
  /// Deletions whose time in the trash is over, oldest first; none while the namespace is held. Blocks.
  /// `PurgeTrash` each.
  package func expiredTrash(limit: Int) throws -> [DeletionID] {
    guard !isHeld else { return [] }
    let now = clock.now
    let (floor, settled) = memory.with { ($0.trashFloor, $0.state.time) }
    let range = KeyRange(
      from: Keys.trash(DeletionID(floor, serial: 0)),
      to: Keys.trash(DeletionID(now + .milliseconds(1), serial: 0)))
    var expired: [DeletionID] = []
    try store.scan(range) { key, _ in
      guard expired.count < limit else { return .stop }
      expired.append(try Keys.deletion(ofTrash: key))
      return .goOn
    }
    // What a round under way adds expires after it, so not before the round that was settled last: the next
    // scan need not pass over what was purged.
    memory.with { $0.trashFloor = max(floor, min(expired.first?.expires ?? settled, settled)) }
    return expired
  }
}
