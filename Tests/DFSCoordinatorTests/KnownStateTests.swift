import DFSCore
import DFSMetadata
import Testing

@testable import DFSCoordinator

/// What the coordinator concludes from what it knows of groups and nodes.
@Suite(.timeLimit(.minutes(1))) struct KnownStateTests {
  private func run(_ body: (CoordinatorScene, ScriptedDataNodes, [ScriptedNode]) async throws -> Void)
    async throws
  {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { configuration in
        configuration.placement.fewestGroups = 12
        configuration.placement.slotsPerNode = 12
      } _: { scene in
        try await body(scene, datanodes, try await scene.join(3, address: address))
      }
    }
  }

  @Test func `a group that was found empty and got a chunk later keeps its members when empty ones move`()
    async throws
  {
    try await run { scene, datanodes, nodes in
      // Two plans: the second one finds the groups, and finds them empty.
      try await scene.pass(12, beating: nodes)
      let keeper = scene.coordinator.service.groups
      let policy = PlacementPolicy(replicas: 3)
      func join(_ number: Int) async throws -> ScriptedNode {
        var node = ScriptedNode(number)
        node.address = nodes[0].address
        try await node.register(at: scene)
        try await node.beat(at: scene)
        try await keeper.refresh(policy)
        return node
      }
      func rows() -> [GroupID: Set<NodeID>] {
        scene.coordinator.cluster.withState { $0.table.groups.mapValues { Set($0.members) } }
      }
      let before = rows()
      let fourth = try await join(4)
      #expect(rows().values.contains { $0.contains(fourth.id) }, "empty groups have moved")
      let chunks = try await scene.store("/f", on: nodes + [fourth], datanodes, chunks: 3)
      let filled = Set(chunks.compactMap { scene.group(of: $0) })
      #expect(!filled.isEmpty && filled.count < before.count)
      let between = rows()
      let fifth = try await join(5)
      let after = rows()
      #expect(after.values.contains { $0.contains(fifth.id) }, "those that are empty still may")
      for group in filled { #expect(after[group] == between[group]) }
    }
  }

  @Test func `a node is drained once its last slot went to a member that has everything`() throws {
    var scene = MembershipScene()
    for number in 1...4 { try scene.register(scene.registration(UInt64(number))) }
    func row(_ nodes: [UInt64], _ last: SlotState = .full, epoch: UInt64) -> PlacementGroup {
      let slots = nodes.enumerated().map { place, node in
        GroupSlot(node: NodeID(rawValue: node), state: place == 2 ? last : .full)
      }
      return PlacementGroup(
        id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: epoch), policy: PlacementPolicy(replicas: 3),
        slots: slots)
    }
    let cluster = Cluster(membership: scene.membership, table: SlotTable([row([1, 2, 3], epoch: 1)]))
    var hasDrained: Bool { cluster.withState { $0.hasDrainedNode } }
    func decide(_ state: NodeState) {
      cluster.withState { cluster in
        guard var record = cluster.membership[NodeID(rawValue: 3)]?.record else { return }
        record.state = state
        _ = cluster.membership.decided(record)
      }
    }
    #expect(!hasDrained)
    decide(.draining)
    #expect(!hasDrained, "it has a slot")
    cluster.apply([row([1, 2, 4], .filling, epoch: 2)])
    #expect(!hasDrained, "its heir lacks chunks")
    cluster.apply([row([1, 2, 4], epoch: 3)])
    #expect(hasDrained)
    cluster.apply([row([1, 2, 4], .behind, epoch: 4)])
    #expect(!hasDrained)
    cluster.apply([row([1, 2, 4], epoch: 5)])
    decide(.active)
    #expect(!hasDrained, "it is to stay")
    // Records that change without a word to the membership's version.
    cluster.withState { $0.membership.members[NodeID(rawValue: 3)]?.record.state = .draining }
    #expect(hasDrained)
  }
}
