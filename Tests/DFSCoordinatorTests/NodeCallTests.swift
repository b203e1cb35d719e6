import DFSCore
import DFSMetadata
import DFSWire
import Testing

@testable import DFSCoordinator

extension CoordinatorScene {
  fileprivate func change(
    _ node: UInt64, _ action: WireNodeAction, force: Bool = false
  ) async throws -> WireNode {
    var request = WireChangeNodeRequest()
    (request.node, request.action, request.force) = (node, action, force)
    return try await call(CoordinatorMethods.changeNode, request).node
  }

  fileprivate func canStop(_ nodes: [UInt64]) async throws -> WireCanStopResponse {
    var request = WireCanStopRequest()
    request.nodes = nodes
    return try await call(CoordinatorMethods.canStop, request)
  }

  fileprivate func state(of node: UInt64) throws -> NodeState? {
    try coordinator.namespace.view().node(NodeID(rawValue: node))?.state
  }
}

@Suite(.timeLimit(.minutes(1)))
struct NodeCallTests {
  @Test func `an operator's decision is durable when it is answered, and shows in the list`() async throws {
    try await CoordinatorScene.run { scene in
      _ = try await scene.join(4)
      #expect(try await scene.change(1, .drain).state == .draining)
      #expect(try scene.state(of: 1) == .draining)
      #expect(try await scene.change(1, .drain).state == .draining, "asking again changes nothing")
      #expect(try await scene.change(2, .maintenance).state == .maintenance)
      #expect(try await scene.change(1, .activate).state == .up)
      #expect(try scene.state(of: 1) == .active)
      #expect(try await scene.change(3, .remove).state == .removed)
      let nodes = try await scene.call(CoordinatorMethods.listNodes, WireListNodesRequest()).nodes
      #expect(nodes.map(\.state) == [.up, .maintenance, .removed, .up])
      let again = await #expect(throws: DFSError.self) { try await scene.change(3, .activate) }
      #expect(again?.code == .failedPrecondition)
    }
  }

  @Test func `a draining node tells that it can not be removed while it has slots`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(4)
      try await ScriptedUpload.put("/a", by: nodes, at: scene)
      #expect(try await scene.change(1, .drain).drainSlotsLeft > 0)
      let refusal = await #expect(throws: DFSError.self) { try await scene.change(1, .remove) }
      #expect(refusal?.code == .failedPrecondition && refusal?.message.contains("--force") == true)
      #expect(try await scene.change(1, .remove, force: true).state == .removed)
    }
  }

  @Test func `can-stop looks at the groups that would be left`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      try await ScriptedUpload.put("/a", by: nodes, at: scene)
      let one = try await scene.canStop([2])
      #expect(one.canStop && one.reason.isEmpty)
      let two = try await scene.canStop([2, 3])
      #expect(!two.canStop && two.groupsUnwritable > 0 && two.groupsUnreadable == 0 && !two.reason.isEmpty)
      #expect(try await scene.canStop([1, 2, 3]).groupsUnreadable > 0)
    }
  }

  @Test func `a refused datanode is told of in the status until it is accepted or gone`() async throws {
    try await CoordinatorScene.run { scene in
      _ = try await scene.join(1)
      func refused() async throws -> [String] {
        try await scene.status().actions.filter { $0.hasPrefix("the datanode at ") }
      }
      var stranger = ScriptedNode(2)
      stranger.cluster = 99
      await #expect(throws: DFSError.self) { try await stranger.register(at: scene) }
      let told = try await refused()
      let words = "the datanode at \(stranger.address) is refused: the data directory of node"
      #expect(told.count == 1 && told[0].hasPrefix(words))
      stranger.cluster = 0
      try await stranger.register(at: scene)
      #expect(try await refused() == [])
      var wiped = stranger
      wiped.store += 1
      await #expect(throws: DFSError.self) { try await wiped.register(at: scene) }
      #expect(try await refused().count == 1)
      scene.time.pass(.seconds(60))
      #expect(try await refused() == [])
    }
  }

  @Test func `who is refused for ever is told of in the status, whatever is wrong with it`() async throws {
    try await CoordinatorScene.run { configuration in
      configuration.membership.mostNodes = 1
    } _: { scene in
      _ = try await scene.join(1)
      var second = ScriptedNode(2)
      await #expect(throws: DFSError.self) { try await second.register(at: scene) }
      var third = ScriptedNode(3)
      third.zone = String(repeating: "z", count: 1000)
      await #expect(throws: DFSError.self) { try await third.register(at: scene) }
      let told = try await scene.status().actions.filter { $0.hasPrefix("the datanode at ") }
      #expect(told.count == 2)
      for (line, reason) in zip(
        told, ["\(second.address) is refused: the cluster", "\(third.address) is refused: a zone's"])
      {
        #expect(line.hasPrefix("the datanode at \(reason)"))
      }
    }
  }

  @Test func `requests about nothing, strangers and unknown actions are refused`() async throws {
    try await CoordinatorScene.run { scene in
      _ = try await scene.join(1)
      for (call, code) in [
        ({ _ = try await scene.canStop([]) }, DFSError.Code.invalidArgument),
        ({ _ = try await scene.canStop([1, 9]) }, .notFound),
        ({ _ = try await scene.change(9, .drain) }, .notFound),
        ({ _ = try await scene.change(1, .unspecified) }, .invalidArgument),
        ({ _ = try await scene.change(1, .UNRECOGNIZED(77)) }, .unimplemented),
      ] as [(() async throws -> Void, DFSError.Code)] {
        let refusal = await #expect(throws: DFSError.self) { try await call() }
        #expect(refusal?.code == code)
      }
    }
  }
}

@Suite(.timeLimit(.minutes(1)))
struct FullClusterTests {
  private func fill(_ nodes: [ScriptedNode], at scene: CoordinatorScene) async throws {
    for node in nodes {
      var beat = node.heartbeat
      (beat.freeBytes, beat.writable, beat.reason) = (0, false, "the disk is full")
      try await node.beat(at: scene, beat)
    }
  }

  @Test func `a write to a full cluster is told so at once, before and after it had groups`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      try await fill(nodes, at: scene)
      for _ in 0..<2 {
        let refusal = await #expect(throws: DFSError.self) { _ = try await ScriptedUpload("/a", at: scene) }
        #expect(refusal?.code == .exhausted && refusal?.message.hasPrefix("the cluster is full") == true)
        for node in nodes { try await node.beat(at: scene) }
        _ = try await ScriptedUpload("/b", at: scene)
        try await fill(nodes, at: scene)
      }
      #expect(try await scene.status().actions.first?.hasPrefix("the datanodes are full") == true)
    }
  }

  @Test func `a cluster that lacks nodes is not full`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(1)
      try await fill(nodes, at: scene)
      let refusal = await #expect(throws: DFSError.self) { _ = try await ScriptedUpload("/a", at: scene) }
      #expect(refusal?.code != .exhausted)
    }
  }
}
