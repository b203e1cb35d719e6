package import DFSCore
import DFSKeyValue

// The membership's rows, and the derived index.

extension NamespaceView {
  package func group(_ id: GroupID) throws -> PlacementGroup? {
    var source = self
    return try source.groupRow(id)
  }

  /// Those that exist, in the order of `ids`.
  package func groups(_ ids: some Sequence<GroupID>) throws -> [PlacementGroup] {
    try ids.compactMap { try group($0) }
  }

  /// The next rows in order of their ids.
  package func groups(after previous: GroupID?, limit: Int) throws -> [PlacementGroup] {
    var groups: [PlacementGroup] = []
    var range = KeyRange(prefix: Keys.allGroups)
    if let previous { range.start = Keys.group(previous) + [0] }
    try reader.scan(range) { key, value in
      guard groups.count < limit else { return .stop }
      let id = GroupID(rawValue: try Keys.number(key, at: 2))
      groups.append(try GroupRecord(stored: Array(value)).group(id))
      return .goOn
    }
    return groups
  }

  package func node(_ id: NodeID) throws -> ClusterNode? {
    var source = self
    return try source.nodeRow(id)
  }

  package func nodes() throws -> [ClusterNode] {
    var nodes: [ClusterNode] = []
    try reader.scan(KeyRange(prefix: Keys.allNodes)) { _, value in
      nodes.append(try NodeRecord(stored: Array(value)).node)
      return .goOn
    }
    return nodes
  }

  /// The chunks of a group that versions, condemned ones included, and sealed segments name, in order of
  /// their ids.
  package func chunks(of group: GroupID, after previous: ChunkID?, limit: Int) throws -> [ChunkID] {
    var chunks: [ChunkID] = []
    var range = KeyRange(prefix: Keys.chunks(of: group))
    if let previous { range.start = Keys.chunk(group, previous) + [0] }
    try reader.scan(range) { key, _ in
      guard chunks.count < limit else { return .stop }
      let inode = InodeID(rawValue: try Keys.number(key, at: 6))
      chunks.append(ChunkID(inode: inode, index: try Keys.number(key, at: 14)))
      return .goOn
    }
    return chunks
  }
}
