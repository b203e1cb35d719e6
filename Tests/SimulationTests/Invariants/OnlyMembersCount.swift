import DFSCore

/// A seal or commit counts, for each chunk, at least W nodes that are members of its group in that round, were so
/// when they gave their receipts and ever since, are not failed, and have really stored the chunk.
struct OnlyMembersCount: Invariant {
  let name = "no commit counts a non-member"
  private struct Copy: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  private var stored: Set<Copy> = []
  private struct Membership: Hashable {
    var group: GroupID
    var node: NodeID
  }
  /// The epochs at which members came.
  private var joined: [Membership: GroupEpoch] = [:]

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .replicaStored(let chunk, _, let node, _): stored.insert(Copy(chunk: chunk, node: node))
    case .groupChanged(let old?, let row):
      for node in Set(row.members).subtracting(old.members) {
        joined[Membership(group: row.id, node: node)] = row.epoch
      }
    case .metadataRestored: joined = [:]
    case .chunksCounted(let chunks):
      for counted in chunks {
        guard let row = world.truth.groups[counted.group] else { return "group \(counted.group) has no row" }
        let current = counted.holders.filter { holder in
          row.members.contains(holder.node) && world.truth.nodes[holder.node]?.state.holdsChunks == true
            && holder.epoch >= joined[Membership(group: row.id, node: holder.node)] ?? .zero
        }
        let valid = Set(current.map(\.node))
        if valid.count < row.policy.writeQuorum {
          return "chunk \(counted.chunk) was counted with \(valid.count) members of group \(row.id)"
        }
        for node in valid where !stored.contains(Copy(chunk: counted.chunk, node: node)) {
          return "node \(node) was counted for chunk \(counted.chunk), which it never stored"
        }
      }
    default: break
    }
    return nil
  }
}
