import DFSCore

/// A seal or commit counts, for each chunk, at least W nodes that are members of its group in that round, not
/// failed, and that have really stored the chunk.
struct OnlyMembersCount: Invariant {
  let name = "no commit counts a non-member"
  private struct Copy: Hashable {
    var chunk: ChunkID
    var node: NodeID
  }
  private var stored: Set<Copy> = []

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .replicaStored(let chunk, _, let node, _): stored.insert(Copy(chunk: chunk, node: node))
    case .chunksCounted(let chunks):
      for counted in chunks {
        guard let row = world.truth.groups[counted.group] else { return "group \(counted.group) has no row" }
        let valid = Set(counted.holders).filter { node in
          row.members.contains(node) && world.truth.nodes[node]?.state.holdsChunks == true
        }
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
