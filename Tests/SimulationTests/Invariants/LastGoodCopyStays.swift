import DFSCore

/// The last good copy of a living chunk is never taken away, and a surplus one only where as many good copies
/// as the group is to have remain on its members.
struct LastGoodCopyStays: Invariant {
  let name = "the last good copy is never removed"

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    guard case .replicaRemoved(let chunk, let group, let node, let cause, true) = event,
      world.truth.isAlive(chunk, in: group), let row = world.truth.groups[group]
    else { return nil }
    let others = world.goodCopies(of: chunk, in: group).map(\.node)
    if others.isEmpty { return "node \(node) removed the last good copy of \(chunk) (\(cause))" }
    guard cause == .stray else { return nil }
    let members = row.slots.filter { $0.state == .full && $0.node != nil && others.contains($0.node ?? node) }
    if members.count < Int(row.policy.replicas) {
      return
        "node \(node) removed a stray copy of \(chunk); \(members.count) good ones are left on full members"
    }
    return nil
  }
}
