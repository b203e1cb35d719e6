import DFSCore

/// The last good copy of a living chunk is never taken away, and a surplus one only where as many good copies
/// as the group is to have remain on its members. What a fault took a moment ago counts as there: it was there
/// when it was looked at.
struct LastGoodCopyStays: Invariant {
  let name = "the last good copy is never removed"
  private struct Copy: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  private var destroyed: [Copy: Moment] = [:]
  /// How long an order may be under way.
  private static let moment = Span.minutes(1)

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .replicaDestroyed(let chunk, _, let node):
      destroyed[Copy(chunk: chunk, node: node)] = world.now
    case .replicaRemoved(let chunk, let group, let node, let cause, true):
      guard world.truth.isAlive(chunk, in: group), let row = world.truth.groups[group] else { break }
      // A removed node's receipts count no longer: what is not sealed yet is asked for again.
      if cause == .operatorWiped, !world.truth.isNamed(chunk, in: group) { break }
      let others = Set(world.goodCopies(of: chunk, in: group).map(\.node))
      if others.isEmpty { return "node \(node) removed the last good copy of \(chunk) (\(cause))" }
      guard cause == .stray else { break }
      let holders = row.members.filter { member in
        if others.contains(member) { return true }
        guard let at = destroyed[Copy(chunk: chunk, node: member)] else { return false }
        return world.now - at < Self.moment
      }
      if holders.count < Int(row.policy.replicas) {
        return "node \(node) removed a stray copy of \(chunk); \(holders.count) members of "
          + "\(row.slots.map(\.summary)) have good ones"
      }
    default: break
    }
    return nil
  }
}
