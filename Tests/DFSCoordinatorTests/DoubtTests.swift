import DFSCore
import DFSKeyValue
import DFSMetadata
import DFSWire
import TestSupport
import Testing

@testable import DFSCoordinator

/// Copies that were found bad, could not be moved aside, and are listed as good ones since their node's next start.
@Suite struct DoubtTests {
  private func run(
    _ body: (CoordinatorScene, ScriptedDataNodes, [ScriptedNode], [ChunkID]) async throws -> Void
  ) async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        try await body(scene, datanodes, nodes, try await scene.store("/f", on: nodes, datanodes, chunks: 1))
      }
    }
  }

  private func findBad(_ chunk: ChunkID, on node: NodeID, at scene: CoordinatorScene) async throws -> GroupID
  {
    let group = try #require(scene.group(of: chunk))
    let bad = ReplicaReport(chunk: chunk, group: group, node: node, fault: .corrupt)
    try await scene.coordinator.service.groups.markBehind(node, [group], because: "a test")
    #expect(scene.coordinator.service.reports.confirm(bad))
    return group
  }

  @Test func `a copy that was found bad and is listed again is read before its member is full`() async throws
  {
    try await run { scene, datanodes, nodes, chunks in
      let group = try await findBad(chunks[0], on: nodes[0].id, at: scene)
      datanodes.rot(chunks[0], on: 1)
      _ = try await scene.repair().step()
      #expect(!scene.unfinished.contains(group) && datanodes.looks == 1)
      #expect(datanodes.copies.map(\.node) == [1], "the bad one was moved aside and made anew")
      #expect(scene.coordinator.service.reports.doubt(of: group, on: nodes[0].id) == .chunks([]))
    }
  }

  @Test func `a coordinator that starts has a node with bad copies read all that it has of the group`()
    async throws
  {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      let store = MemoryStore()
      var chunks: [ChunkID] = []
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 1)
        var heartbeat = nodes[0].heartbeat
        heartbeat.badReplicas = [
          .with {
            $0.chunk = WireChunkId(chunks[0])
            $0.group = scene.group(of: chunks[0])?.rawValue ?? 0
            $0.node = 1
            $0.fault = .corrupt
          }
        ]
        try await nodes[0].beat(at: scene, heartbeat)
      }
      datanodes.rot(chunks[0], on: 1)
      try await CoordinatorScene.run(store: store) { scene in
        let group = try #require(scene.group(of: chunks[0]))
        let node = NodeID(rawValue: 1)
        #expect(scene.row(group)?.doubted == [node] && scene.unfinished == [group])
        #expect(scene.coordinator.service.reports.doubt(of: group, on: node) == .everything)
        _ = try await scene.join(3, address: address)
        _ = try await scene.repair().step()
        #expect(scene.unfinished.isEmpty && datanodes.copies.map(\.node) == [1])
        #expect(scene.row(group)?.doubted == [])
        #expect(scene.coordinator.service.reports.doubt(of: group, on: node) == .chunks([]))
      }
    }
  }

  @Test func `rows are known as they are stored after they were changed`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let group = try await findBad(chunks[0], on: nodes[0].id, at: scene)
      _ = try await scene.repair().step()
      let stored = try #require(try scene.coordinator.namespace.view().group(group))
      #expect(scene.row(group) == stored && stored.missedAt > .zero && !stored.countsFrom.isEmpty)
    }
  }

  @Test func `a copy that was found bad stays so while its node can not read it`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let group = try await findBad(chunks[0], on: nodes[0].id, at: scene)
      datanodes.stick(true)
      let job = scene.repair()
      for _ in 0..<3 {
        _ = try await job.step()
        scene.time.pass(.seconds(20))
      }
      #expect(scene.unfinished == [group] && datanodes.copies.isEmpty)
      #expect(scene.coordinator.service.reports.doubt(of: group, on: nodes[0].id) == .chunks([chunks[0]]))
      datanodes.stick(false)
      try await scene.pass(4, beating: nodes)
      for _ in 0..<3 {
        _ = try await job.step()
        scene.time.pass(.seconds(20))
      }
      #expect(scene.unfinished.isEmpty && datanodes.copies.isEmpty, "it is good, as it turns out")
      #expect(scene.coordinator.service.reports.doubt(of: group, on: nodes[0].id) == .chunks([]))
    }
  }

  @Test func `a node's word that it has a chunk already does not do where it was found bad`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let group = try await findBad(chunks[0], on: nodes[0].id, at: scene)
      // It reads it, finds it bad, and leaves it where it is.
      datanodes.spoil(chunks[0])
      let job = scene.repair()
      for _ in 0..<3 {
        _ = try await job.step()
        scene.time.pass(.seconds(20))
      }
      #expect(scene.unfinished == [group] && datanodes.looks > 0)
      #expect(scene.coordinator.service.reports.doubt(of: group, on: nodes[0].id) == .chunks([chunks[0]]))
    }
  }

  @Test func `a bad copy is no source for others`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let group = try #require(scene.group(of: chunks[0]))
      let bad = ReplicaReport(chunk: chunks[0], group: group, node: nodes[0].id, fault: .corrupt)
      #expect(scene.coordinator.service.reports.confirm(bad))
      datanodes.rot(chunks[0], on: 1)
      datanodes.lose(chunks[0], on: 3)
      try await scene.coordinator.service.groups.markBehind(nodes[2].id, [group], because: "a test")
      _ = try await scene.repair().step()
      #expect(datanodes.copies.map { [$0.source, $0.node] } == [[2, 3]])
    }
  }

  @Test func `what was found bad while members were made full stays known`() {
    let reports = ReplicaReports()
    let (group, node) = (GroupID(rawValue: 1), NodeID(rawValue: 2))
    let bad = (0..<2 as Range<UInt32>).map {
      ReplicaReport(
        chunk: ChunkID(inode: InodeID(rawValue: 9), index: $0), group: group, node: node, fault: .corrupt)
    }
    #expect(reports.confirm(bad[0]))
    let findings = reports.findings
    #expect(reports.confirm(bad[1]))
    reports.forget(group, on: [node], lost: [], of: findings)
    #expect(reports.doubt(of: group, on: node) == .chunks([bad[1].chunk]))
    #expect(!reports.isKnown(bad[0]) && reports.isKnown(bad[1]))
  }

  @Test func `where more was found bad than can be remembered, everything is in doubt until it was read`() {
    let reports = ReplicaReports()
    let (group, node) = (GroupID(rawValue: 1), NodeID(rawValue: 2))
    for number in 0...UInt32(ReplicaReports.mostRemembered) {
      let chunk = ChunkID(inode: InodeID(rawValue: 9), index: number)
      let of = GroupID(rawValue: number == 0 ? 1 : 3)
      #expect(reports.confirm(ReplicaReport(chunk: chunk, group: of, node: node, fault: .corrupt)))
    }
    #expect(reports.doubt(of: group, on: node) == .everything)
    #expect(reports.doubt(of: group, on: NodeID(rawValue: 3)) == .chunks([]))
    reports.forget(group, on: [node], lost: [], of: reports.findings)
    #expect(reports.doubt(of: group, on: node) == .chunks([]))
  }
}
