import DFSCore

/// One row of the group table: which nodes hold a chunk's replicas.
struct GroupRow: Sendable, Hashable {
  struct Member: Sendable, Hashable {
    var node: NodeID
    var state: ChunkLocation.Replica.State
    /// What the coordinator last knew.
    var isReachable: Bool
  }

  var id: GroupID
  var epoch: GroupEpoch
  /// The number of replicas wanted; a vacant slot makes `members` shorter.
  var replicas: Int
  var members: [Member]

  /// The fewest durable replicas that count as written.
  var writeQuorum: Int { replicas / 2 + 1 }
}

/// What this client knows of groups and addresses: a cache by epoch, filled from answers that carry rows.
///
/// A row with a lower epoch than a known one is old news and dropped; one with the same epoch replaces it,
/// because a member's reachability changes without an epoch. Bounded: beyond `limit` rows the map starts
/// afresh.
struct ClusterMap: Sendable {
  static let limit = 20_000

  private(set) var groups: [GroupID: GroupRow] = [:]
  private(set) var addresses: [NodeID: Endpoint] = [:]
  private(set) var zones: [NodeID: String] = [:]

  mutating func learn(_ rows: some Sequence<GroupRow>) {
    for row in rows {
      if let known = groups[row.id], known.epoch > row.epoch { continue }
      if groups.count >= Self.limit, groups[row.id] == nil { groups.removeAll() }
      groups[row.id] = row
    }
  }

  mutating func learn(node: NodeID, address: Endpoint, zone: String) {
    if addresses.count >= Self.limit, addresses[node] == nil {
      addresses.removeAll()
      zones.removeAll()
    }
    addresses[node] = address
    zones[node] = zone
  }
}
