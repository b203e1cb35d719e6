import DFSCore
import DFSMetadata

/// A member becomes full only with every living chunk of its group, but for those that no disk in reach had.
struct FullMembersHaveEverything: Invariant {
  let name = "a full member has every living chunk"
  private struct Copy: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  /// What a fault took from a member: it may not know yet.
  private var destroyed: Set<Copy> = []

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .replicaDestroyed(let chunk, _, let node): destroyed.insert(Copy(chunk: chunk, node: node))
    case .replicaStored(let chunk, _, let node, _): destroyed.remove(Copy(chunk: chunk, node: node))
    case .groupChanged(let old?, let row):
      let before = Set(old.slots.filter { $0.state == .full }.compactMap(\.node))
      for slot in row.slots where slot.state == .full {
        guard let node = slot.node, !before.contains(node) else { continue }
        if let lacking = lacking(node, in: row, world) { return lacking }
      }
    default: break
    }
    return nil
  }

  private func lacking(_ node: NodeID, in row: PlacementGroup, _ world: World) -> String? {
    let all = world.machines.filter { !$0.isImpostor }.compactMap(\.disk)
    // A copy of its directory may be what runs under its name just now.
    let disks = world.disks.filter { $0.node == node }
    for chunk in world.truth.living(in: row.id) {
      guard !disks.contains(where: { $0.replica(chunk, in: row.id) != nil }),
        !destroyed.contains(Copy(chunk: chunk, node: node))
      else { continue }
      let others = row.members.filter { member in
        member != node && all.contains { $0.node == member && $0.isGood(chunk, in: row.id) }
      }
      guard let other = others.first else { continue }
      return "node \(node) became full in group \(row.id) without chunk \(chunk), which member \(other) has; "
        + world.truth.story(of: chunk, in: row.id)
    }
    return nil
  }
}
