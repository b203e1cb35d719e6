import DFSCore
import DFSMetadata
import DFSWire
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSCoordinator

/// Copies on nodes that are no members of their group.
@Suite(.timeLimit(.minutes(1))) struct StrayTests {
  /// A file of one chunk on the three members of its group, and on a fourth node that is none.
  private struct Stage: Sendable {
    let scene: CoordinatorScene
    let datanodes: ScriptedChunks
    let nodes: [ScriptedNode]
    let chunk: ChunkID
    let row: PlacementGroup
    let former: NodeID

    var group: GroupID { row.id }
    func current() throws -> PlacementGroup? { try scene.coordinator.namespace.view().group(row.id) }
    func hasCopy(_ node: NodeID) -> Bool { datanodes.has(node, group).contains(chunk) }
  }

  private func run(_ body: (Stage) async throws -> Void) async throws {
    let datanodes = ScriptedChunks()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(4, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene)
        let found = try await scene.chunks(of: "/a", file.inode)[0]
        let row = try #require(scene.coordinator.cluster.withState { $0.table[found.group] })
        let former = try #require(nodes.map(\.id).first { !row.members.contains($0) })
        datanodes.give([found.chunk], of: found.group, to: nodes.map(\.id))
        try await body(
          Stage(
            scene: scene, datanodes: datanodes, nodes: nodes, chunk: found.chunk, row: row, former: former))
      }
    }
  }

  @Test func `a returned node's strays go only after as many verified copies as the group has members`()
    async throws
  {
    try await run { stage in
      let (scene, datanodes) = (stage.scene, stage.datanodes)
      let inode = stage.chunk.inode
      let dead = ChunkID(inode: inode, index: 900)
      let open = try await ScriptedUpload("/open", at: scene)
      let uploading = ChunkID(inode: InodeID(rawValue: open.begun.upload), index: 5)
      let future = ChunkID(inode: InodeID(SerialNumber(incarnation: 9, counter: 1)), index: 0)
      datanodes.give([dead, uploading, future], of: stage.group, to: [stage.former])
      datanodes.give([future], of: GroupID(rawValue: 77_000), to: [stage.former])
      let result = try await scene.searchStrays()
      #expect(result.strays == 5 && result.straysRemoved == 1)
      #expect(datanodes.has(stage.former, stage.group) == [dead, uploading, future])
      for member in stage.row.members { #expect(stage.hasCopy(member)) }
      #expect(datanodes.state.withLockedValue { $0.verified } == 3)
      #expect(try stage.current() == stage.row)
      scene.time.pass(.seconds(121))
      for node in stage.nodes { try await node.reregister(at: scene) }
      try await scene.exhaust(scene.reaper)
      #expect(datanodes.has(stage.former, stage.group) == [uploading, future])
      let removals = datanodes.state.withLockedValue { $0.removals }
      #expect(removals.map(\.node) == [stage.former, stage.former])
    }
  }

  @Test func `a stray stays while a member has no copy, a bad one, another one, or is away`() async throws {
    try await run { stage in
      let (scene, datanodes) = (stage.scene, stage.datanodes)
      let member = stage.row.members[1]
      // Another content under the same id: nobody here can tell which is right.
      datanodes.give([stage.chunk], of: stage.group, to: [stage.former], root: 2)
      #expect(try await scene.searchStrays().straysRemoved == 0)
      #expect(try stage.hasCopy(stage.former) && stage.current() == stage.row)
      datanodes.give([stage.chunk], of: stage.group, to: [stage.former])
      datanodes.state.withLockedValue { $0.silent = [member] }
      #expect(try await scene.searchStrays().straysRemoved == 0)
      #expect(try stage.hasCopy(stage.former) && stage.current() == stage.row)
      datanodes.state.withLockedValue { $0.silent = [] }
      // A copy that does not survive its reading: the member is behind, and then the group is not whole.
      datanodes.state.withLockedValue { $0.bad[member] = [stage.chunk] }
      for _ in 0..<2 { #expect(try await scene.searchStrays().straysRemoved == 0) }
      #expect(stage.hasCopy(stage.former))
      let row = try #require(try stage.current())
      #expect(row.slots.first { $0.node == member }?.state == .behind)
      // Repaired: now it goes.
      datanodes.state.withLockedValue { $0.bad = [:] }
      datanodes.give([stage.chunk], of: stage.group, to: [member])
      let healed = ChangeGroups.Change(
        id: row.id, expected: row.epoch, policy: row.policy,
        slots: row.slots.map { $0.node.map { GroupSlot(node: $0, state: .full) } ?? $0 })
      try await scene.apply(healed)
      #expect(try await scene.searchStrays().straysRemoved == 1)
      #expect(!stage.hasCopy(stage.former) && stage.row.members.allSatisfy { stage.hasCopy($0) })
    }
  }

  @Test func `what an heir was given before it becomes the member is no stray`() async throws {
    try await run { stage in
      stage.scene.coordinator.cluster.withState { $0.heirs[stage.group] = stage.former }
      let result = try await stage.scene.searchStrays()
      #expect(result.strays == 0 && stage.hasCopy(stage.former))
      stage.scene.coordinator.cluster.withState { $0.heirs[stage.group] = nil }
      #expect(try await stage.scene.searchStrays().straysRemoved == 1)
    }
  }

  @Test func `a node that becomes a member under the removal keeps its copies, or is repaired`() async throws {
    for isHeardByTheNode in [true, false] {
      try await run { stage in
        let (scene, datanodes) = (stage.scene, stage.datanodes)
        let moved = ChangeGroups.Change(
          id: stage.group, expected: stage.row.epoch, policy: stage.row.policy,
          slots: [GroupSlot(node: stage.former, state: .filling)] + stage.row.slots.dropFirst())
        datanodes.interrupt.withLockedValue { interrupt in
          interrupt = { event in
            guard event == .reaps(stage.former), try stage.current() == stage.row else { return }
            let epoch = try await scene.apply(moved)
            // Whoever makes it a member takes its inventory at the new epoch first.
            if isHeardByTheNode {
              datanodes.state.withLockedValue { $0.epochs[stage.former, default: [:]][stage.group] = epoch }
            }
          }
        }
        _ = try await scene.searchStrays()
        let row = try #require(try stage.current())
        #expect(stage.hasCopy(stage.former) == isHeardByTheNode)
        #expect(row.slots[0] == GroupSlot(node: stage.former, state: .filling))
        #expect(row.missedAt > stage.row.missedAt, "and repair looks again")
      }
    }
  }
}

extension CoordinatorScene {
  @discardableResult
  fileprivate func apply(_ change: ChangeGroups.Change) async throws -> GroupEpoch {
    let settled = try await coordinator.namespace.mutate(ChangeGroups(changes: [change]))
    let epoch = settled.outcome.epochs[0]
    coordinator.cluster.apply([
      PlacementGroup(id: change.id, epoch: epoch, policy: change.policy, slots: change.slots)
    ])
    return epoch
  }
}
