import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

/// A growing set of nodes and the table planned for it.
struct PlanScene {
  var nodes: [GroupPlanner.Candidate] = []
  var table = SlotTable()
  var filled: Set<GroupID> = []
  var rules = GroupPlanner.Rules()
  var generator: SeededGenerator
  /// Nodes of the cluster that are not eligible now.
  var absent: Set<NodeID> = []
  var leaving: [NodeID: GroupPlanner.Leaving] = [:]

  init(_ generator: SeededGenerator = SeededGenerator()) {
    self.generator = generator
    print("seed \(generator.seed)")
  }

  mutating func join(_ count: Int, zone: (Int) -> String = { _ in "" }, capacity: ByteCount = .gib(100)) {
    for _ in 0..<count {
      let id = NodeID(rawValue: UInt64(nodes.count + 1))
      let place = Zone(name: zone(nodes.count), node: id)
      nodes.append(GroupPlanner.Candidate(node: id, zone: place, capacity: capacity))
    }
  }

  private func planner(_ replicas: UInt8) -> GroupPlanner {
    let filled = filled
    let here = nodes.filter { !absent.contains($0.node) }
    return GroupPlanner(
      policy: PlacementPolicy(replicas: replicas), candidates: here.filter { leaving[$0.node] == nil },
      zones: Dictionary(uniqueKeysWithValues: nodes.map { ($0.node, $0.zone) }), rules: rules,
      leaving: leaving,
      inContact: Set(here.map(\.node).filter { leaving[$0] == nil || leaving[$0] == .draining }),
      isEmpty: { !filled.contains($0) })
  }

  mutating func heirs(before: [GroupID: NodeID]) throws -> [GroupID: NodeID] {
    planner(1).heirs(table, before: before, using: &generator)
  }

  mutating func moves(
    _ replicas: UInt8, before: [GroupID: GroupPlanner.Move] = [:]
  ) -> [GroupID: GroupPlanner.Move] {
    planner(replicas).moves(table, before: before, using: &generator)
  }

  mutating func plan(replicas: UInt8) throws -> [ChangeGroups.Change] {
    let planner = planner(replicas)
    let changes = try planner.plan(table, using: &generator)
    for change in changes {
      #expect(change.expected == table[change.id]?.epoch)
      table.apply(
        PlacementGroup(
          id: change.id, epoch: change.expected?.next ?? GroupEpoch(rawValue: 1), policy: change.policy,
          slots: change.slots))
    }
    return changes
  }

  func groups(_ replicas: UInt8) -> [PlacementGroup] {
    table.groups(replicas: replicas).compactMap { table[$0] }
  }
  func loads(_ replicas: UInt8) -> [Int] {
    nodes.map { node in groups(replicas).count { $0.members.contains(node.node) } }
  }

  /// Different members everywhere, and different zones where the cluster has as many as replicas.
  func checkGroups() {
    let zones = Dictionary(uniqueKeysWithValues: nodes.map { ($0.node, $0.zone) })
    for group in table.groups.values {
      #expect(group.slots.count == Int(group.policy.replicas))
      #expect(Set(group.members).count == group.members.count, "group \(group.id) names a node twice")
      if Set(zones.values).count >= Int(group.policy.replicas) {
        #expect(Set(group.members.compactMap { zones[$0] }).count == group.members.count, "a zone twice")
      }
    }
  }

  /// Makes every member full, as repair does in the end.
  mutating func repair() {
    for row in table.groups.values where row.slots.contains(where: { $0.state == .filling }) {
      let slots = row.slots.map { slot in slot.node.map { GroupSlot(node: $0, state: .full) } ?? slot }
      table.apply(PlacementGroup(id: row.id, epoch: row.epoch.next, policy: row.policy, slots: slots))
    }
  }
}
