package import DFSCore
package import DFSMetadata

/// The group table as the coordinator last saw it, with the indices that placement needs: by policy, by node,
/// and by the order of changes. The truth is in the metadata; `apply` takes a row from there.
package struct SlotTable: Sendable {
  package private(set) var groups: [GroupID: PlacementGroup] = [:]
  /// Raised by each row that was new.
  package private(set) var version: UInt64 = 0
  /// Groups by number of replicas, in order of opening.
  private var byReplicas: [UInt8: [GroupID]] = [:]
  private var byNode: [NodeID: Set<GroupID>] = [:]
  private var changedAt: [GroupID: UInt64] = [:]
  /// Groups with a slot that is filling or behind: repair's work.
  package private(set) var unfinished: Set<GroupID> = []
  /// Groups with a slot that has no node.
  package private(set) var vacant: Set<GroupID> = []

  package init(_ groups: [PlacementGroup] = []) {
    for group in groups { apply(group) }
  }

  package subscript(group: GroupID) -> PlacementGroup? { groups[group] }
  package var count: Int { groups.count }
  package var lastID: GroupID? { groups.keys.max() }
  package var nextID: GroupID { GroupID(rawValue: (lastID?.rawValue ?? 0) + 1) }
  package func groups(replicas: UInt8) -> [GroupID] { byReplicas[replicas] ?? [] }
  package func slotCount(of node: NodeID) -> Int { byNode[node]?.count ?? 0 }
  package func groups(of node: NodeID) -> Set<GroupID> { byNode[node] ?? [] }

  /// Takes a row that is durable. An older one than is known is ignored: answers of two rounds may be told in
  /// any order. True when something changed.
  @discardableResult
  package mutating func apply(_ group: PlacementGroup) -> Bool {
    let known = groups[group.id]
    if let known, known.epoch >= group.epoch { return false }
    version += 1
    changedAt[group.id] = version
    groups[group.id] = group
    if known == nil { byReplicas[group.policy.replicas, default: []].append(group.id) }
    let (before, after) = (known?.members ?? [], group.members)
    for node in before where !after.contains(node) { byNode[node]?.remove(group.id) }
    for node in after { byNode[node, default: []].insert(group.id) }
    func keep(_ isIn: Bool, in set: inout Set<GroupID>) {
      if isIn { set.insert(group.id) } else { set.remove(group.id) }
    }
    keep(group.slots.contains { $0.state == .filling || $0.state == .behind }, in: &unfinished)
    keep(group.slots.contains { $0.state == .vacant }, in: &vacant)
    return true
  }

  /// The groups of `node` whose rows came after `version`, in order of that, at most `limit`; and the version
  /// to ask from the next time.
  package func changes(
    of node: NodeID, since version: UInt64, limit: Int
  ) -> (groups: [PlacementGroup], version: UInt64) {
    guard version < self.version else { return ([], version) }
    let changed = (byNode[node] ?? []).compactMap { id in
      changedAt[id].flatMap { $0 > version ? (at: $0, id: id) : nil }
    }.sorted { $0.at < $1.at }
    let page = changed.prefix(limit)
    let next = page.count < changed.count ? page.last?.at ?? version : self.version
    return (page.compactMap { groups[$0.id] }, next)
  }
}
