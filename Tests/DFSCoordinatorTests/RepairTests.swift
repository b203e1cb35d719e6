import DFSCore
import DFSKeyValue
import DFSMetadata
import DFSWire
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSCoordinator

extension CoordinatorScene {
  var verifier: VerifyReports {
    VerifyReports(
      cluster: coordinator.cluster, reports: coordinator.service.reports, groups: coordinator.service.groups,
      channels: coordinator.channels, namespace: coordinator.namespace, disk: disk, logger: Self.silence,
      now: { self.time.now })
  }

  func repair(page: Int = 2000, clock: any Clock<Duration> = ContinuousClock()) -> RepairGroups {
    RepairGroups(
      namespace: coordinator.namespace, cluster: coordinator.cluster, groups: coordinator.service.groups,
      channels: coordinator.channels, reports: coordinator.service.reports, disk: disk, page: page,
      logger: Self.silence, now: { self.time.now }, clock: clock)
  }

  var reconciler: GroupReconciler {
    let (now, hanging) = ({ @Sendable [time] in time.now }, HangingNodes())
    let inventories = NodeInventories(epoch: coordinator.namespace.epoch, channels: coordinator.channels)
    return GroupReconciler(
      namespace: coordinator.namespace, cluster: coordinator.cluster, groups: coordinator.service.groups,
      channels: coordinator.channels, inventories: inventories, reports: coordinator.service.reports,
      formers: FormerHolders(
        cluster: coordinator.cluster, inventories: inventories, hanging: hanging, now: now),
      disk: disk, loads: SourceLoads(), hanging: hanging, page: 2000, logger: Self.silence, now: now,
      clock: ContinuousClock())
  }

  /// Puts a file of one-block chunks and lets the nodes that signed for them have them.
  @discardableResult
  func store(
    _ path: String, on holders: [ScriptedNode], _ datanodes: ScriptedDataNodes, chunks: UInt32 = 4
  ) async throws -> [ChunkID] {
    let upload = try await ScriptedUpload(path, at: self, chunks: chunks)
    let sealed = try upload.sealedChunks(by: holders)
    let ids = try sealed.map { chunk in
      let id = ChunkID(inode: InodeID(rawValue: upload.begun.upload), index: chunk.reference.index)
      let members = upload.groups[chunk.reference.group]?.slots.map(\.node) ?? []
      try datanodes.put(id, chunk.reference, on: holders.filter { members.contains($0.node) })
      return id
    }
    let commit = upload.commitRequest(sealed, at: self)
    let response = try await call(CoordinatorMethods.commitUpload, commit)
    #expect(response.rejectedIndices.isEmpty)
    return ids
  }

  /// Time passes, and only these nodes are in contact.
  func pass(_ seconds: Int, beating nodes: [ScriptedNode]) async throws {
    let watch = watch
    for _ in 0..<seconds / 4 {
      time.pass(.seconds(4))
      for node in nodes { try await node.beat(at: self) }
      _ = try await watch.step()
    }
  }

  var unfinished: Set<GroupID> { coordinator.cluster.withState { $0.table.unfinished } }
  func row(_ group: GroupID) -> PlacementGroup? { coordinator.cluster.withState { $0.table[group] } }
}

@Suite struct RepairTests {
  /// A cluster of scripted nodes whose server holds what they store.
  private func run(
    _ count: Int, replicas: Int = 3,
    _ body: (CoordinatorScene, ScriptedDataNodes, [ScriptedNode]) async throws -> Void
  ) async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { configuration in
        configuration.policy = PlacementPolicy(replicas: UInt8(replicas))
        // Few groups, so that files meet in one.
        configuration.placement.fewestGroups = 6
        configuration.placement.slotsPerNode = 6
      } _: { scene in
        try await body(scene, datanodes, try await scene.join(count, address: address))
      }
    }
  }

  @Test func `a member that missed a write gets it at once`() async throws {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes)
      #expect(!scene.unfinished.isEmpty)
      let job = scene.repair()
      #expect(try await job.step() == .after(.zero))
      #expect(scene.unfinished.isEmpty)
      #expect(datanodes.chunks(on: 3) == Set(chunks))
      #expect(
        Set(datanodes.copies.map(\.source)).isSubset(of: [1, 2]) && datanodes.copies.count == chunks.count)
      let status = scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now)
      #expect(status.repairedChunks == 4 && status.repairedBytes == 4 * 65536 && status.groups == 0)
      #expect(try await job.step() != .after(.zero))
      // What is durable says the same.
      for row in try scene.coordinator.namespace.view().groups(after: nil, limit: 1000) {
        #expect(row.slots.allSatisfy { $0.state == .full })
      }
    }
  }

  @Test func `slots of a node that is out get new members, and those everything`() async throws {
    try await run(5) { scene, datanodes, nodes in
      var chunks: [ChunkID] = []
      for number in 0..<6 { chunks += try await scene.store("/\(number)", on: nodes, datanodes, chunks: 20) }
      let lost = datanodes.chunks(on: 5)
      #expect(!lost.isEmpty)
      datanodes.refuse([5])
      try await scene.pass(80, beating: Array(nodes.prefix(4)))
      #expect(scene.coordinator.cluster.withState { $0.table.slotCount(of: nodes[4].id) } == 0)
      #expect(!scene.unfinished.isEmpty)
      _ = try await scene.repair().step()
      #expect(scene.unfinished.isEmpty)
      for chunk in chunks {
        #expect((1...4).count { datanodes.chunks(on: $0).contains(chunk) } == 3)
      }
      #expect(datanodes.copies.count == lost.count, "nothing was copied twice")
      #expect(Set(datanodes.copies.map(\.source)).count >= 3, "many to many")
    }
  }

  @Test func `a node that returns gets its vacant slots, and what it has is not copied`() async throws {
    try await run(3) { scene, datanodes, nodes in
      let before = try await scene.store("/before", on: nodes, datanodes, chunks: 8)
      try await scene.pass(80, beating: Array(nodes.prefix(2)))
      #expect(try await scene.status().nodesOut == 1)
      #expect(scene.coordinator.cluster.withState { $0.table.vacant.count == $0.table.count })
      let during = try await scene.store("/during", on: Array(nodes.prefix(2)), datanodes, chunks: 8)
      #expect(scene.unfinished.isEmpty, "nobody is there to be repaired")
      try await nodes[2].reregister(at: scene)
      try await scene.pass(12, beating: nodes)
      #expect(scene.coordinator.cluster.withState { $0.table.vacant.isEmpty })
      _ = try await scene.repair().step()
      #expect(scene.unfinished.isEmpty)
      #expect(datanodes.chunks(on: 3) == Set(before + during))
      #expect(Set(datanodes.copies.map(\.chunk)) == Set(during))
    }
  }

  @Test func `a large group is reconciled page by page`() async throws {
    try await run(3) { scene, datanodes, nodes in
      var chunks: [ChunkID] = []
      for number in 0..<3 {
        chunks += try await scene.store("/\(number)", on: Array(nodes.prefix(2)), datanodes, chunks: 500)
      }
      // Some it has, and one that the others do not know.
      for chunk in chunks.prefix(100) where chunk.index % 3 == 0 {
        datanodes.lose(chunk, on: 1)
        datanodes.lose(chunk, on: 2)
      }
      let missing = Set(chunks.prefix(100).filter { $0.index % 3 == 0 })
      _ = try await scene.repair(page: 3).step()
      #expect(scene.unfinished.isEmpty)
      #expect(datanodes.chunks(on: 3) == Set(chunks).subtracting(missing))
      let status = scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now)
      #expect(status.lostChunks == UInt64(missing.count), "what nobody has is counted")
    }
  }

  @Test func `a chunk that nobody has is named and kept, and called lost only when everybody was asked`()
    async throws
  {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 1)
      let group = try #require(
        try scene.coordinator.namespace.view().reference(of: chunks[0])?.group)
      for node in nodes { datanodes.lose(chunks[0], on: node.node) }
      try await scene.coordinator.service.groups.markBehind(nodes[0].id, [group], because: "a test")
      datanodes.refuse([2])
      let job = scene.repair()
      _ = try await job.step()
      #expect(scene.unfinished == [group], "node 2 may have it")
      datanodes.refuse([])
      scene.time.pass(.seconds(5))
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty)
      let status = scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now)
      #expect(status.lostChunks == 1 && status.lostNamed == chunks)
      #expect(try scene.coordinator.namespace.view().reference(of: chunks[0]) != nil)
      #expect(datanodes.orders.isEmpty, "nothing was deleted")

      var upload = try await ScriptedUpload("/open", at: scene, chunks: 30)
      for number in 0..<100 where !upload.indices.contains(where: { $0.group == group.rawValue }) {
        upload = try await ScriptedUpload("/open-\(number)", at: scene, chunks: 30)
      }
      let sealed = try upload.sealedChunks(by: nodes)
      for chunk in sealed {
        let id = ChunkID(inode: InodeID(rawValue: upload.begun.upload), index: chunk.reference.index)
        let members = upload.groups[chunk.reference.group]?.slots.map(\.node) ?? []
        try datanodes.put(id, chunk.reference, on: nodes.filter { members.contains($0.node) })
      }

      // It turns up on a node that is no member: the next pass finds it there.
      var fourth = ScriptedNode(4)
      fourth.address = nodes[0].address
      try await fourth.register(at: scene)
      try await fourth.beat(at: scene)
      let reference = try #require(try scene.coordinator.namespace.view().reference(of: chunks[0]))
      try datanodes.put(chunks[0], WireChunkReference(reference), on: [fourth])
      try await scene.pass(60, beating: nodes + [fourth])
      for _ in 0..<3 { _ = try await job.step() }
      #expect(datanodes.chunks(on: 1).isSuperset(of: chunks) && scene.unfinished.isEmpty)
      #expect(scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now).lostChunks == 0)
      let commit = upload.commitRequest(sealed, at: scene)
      let answer = try await scene.call(CoordinatorMethods.commitUpload, commit)
      #expect(answer.rejectedIndices.isEmpty, "what the members took for an open upload counts as before")
    }
  }

  @Test func `nothing is called lost while a node that may have it does not answer or has not come back`()
    async throws
  {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 1)
      let group = try #require(scene.group(of: chunks[0]))
      let reference = try #require(try scene.coordinator.namespace.view().reference(of: chunks[0]))
      var fourth = ScriptedNode(4)
      fourth.address = nodes[0].address
      try await fourth.register(at: scene)
      try datanodes.put(chunks[0], WireChunkReference(reference), on: [fourth])
      for node in nodes { datanodes.lose(chunks[0], on: node.node) }
      try await scene.coordinator.service.groups.markBehind(nodes[0].id, [group], because: "a test")
      let job = scene.repair()
      // In contact, and silent.
      datanodes.refuse([4])
      for _ in 0..<3 {
        _ = try await job.step()
        scene.time.pass(.seconds(2))
      }
      #expect(scene.unfinished.contains(group))
      // Not in contact, and not out.
      datanodes.refuse([])
      try await scene.pass(12, beating: nodes)
      #expect(scene.coordinator.cluster.member(fourth.id)?.isInContact == false)
      for _ in 0..<3 {
        _ = try await job.step()
        try await scene.pass(8, beating: nodes)
      }
      #expect(scene.unfinished.contains(group))
      #expect(scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now).lostChunks == 0)

      try await scene.pass(4, beating: nodes + [fourth])
      scene.time.pass(.seconds(5))
      for _ in 0..<3 { _ = try await job.step() }
      #expect(!scene.unfinished.contains(group) && datanodes.chunks(on: 1) == Set(chunks))
    }
  }

  @Test func `a commit beside a membership change`() async throws {
    try await run(3) { scene, datanodes, nodes in
      let two = Array(nodes.prefix(2))
      // All of one group, so that the second file meets the repair of the first one's.
      let first = try await scene.store("/first", on: two, datanodes, chunks: 1)
      let group = try #require(try scene.coordinator.namespace.view().reference(of: first[0])?.group)
      let second = NIOLockedValueBox<[ChunkID]>([])
      datanodes.beforeCopies {
        // Until the copies are made: a file whose chunks node 3 misses as well.
        var ids: [ChunkID] = []
        for number in 0..<200 where !ids.contains(where: { scene.group(of: $0) == group }) {
          ids += try await scene.store("/second-\(number)", on: two, datanodes, chunks: 1)
        }
        second.withLockedValue { $0 = ids }
      }
      let job = scene.repair()
      for _ in 0..<5 where !scene.unfinished.isEmpty { _ = try await job.step() }
      #expect(scene.unfinished.isEmpty)
      let missed = second.withLockedValue { $0 }
      #expect(missed.contains { scene.group(of: $0) == group })
      #expect(
        datanodes.chunks(on: 3) == Set(first + missed), "a full member has what was committed meanwhile")
    }
  }

  @Test func `a commit beside the hand-over of one of two copies succeeds after repair`() async throws {
    try await run(3, replicas: 2) { scene, datanodes, nodes in
      let upload = try await ScriptedUpload("/long", at: scene, chunks: 512)
      var seal = WireSealSegmentRequest()
      seal.requestID = scene.requestID()
      seal.upload = upload.begun.upload
      seal.chunks = try upload.sealedChunks(by: nodes)
      for chunk in seal.chunks {
        let id = ChunkID(inode: InodeID(rawValue: upload.begun.upload), index: chunk.reference.index)
        let members = upload.groups[chunk.reference.group]?.slots.map(\.node) ?? []
        try datanodes.put(id, chunk.reference, on: nodes.filter { members.contains($0.node) })
      }
      #expect(try await scene.call(CoordinatorMethods.sealSegment, seal).rejectedIndices.isEmpty)

      let row = try #require(scene.row(GroupID(rawValue: seal.chunks[0].reference.group)))
      let heir = try #require(nodes.first { !row.members.contains($0.id) })
      let slots = [row.slots[0], GroupSlot(node: heir.id, state: .filling)]
      try await scene.coordinator.service.groups.make([
        ChangeGroups.Change(id: row.id, expected: row.epoch, policy: row.policy, slots: slots)
      ])
      var commit = upload.commitRequest([], at: scene)
      (commit.chunkCount, commit.length) = (512, 512 * 65536)
      let error = await #expect(throws: DFSError.self) {
        try await scene.call(CoordinatorMethods.commitUpload, commit)
      }
      #expect(error?.isTooFewCopies == true && error?.metadata["group"] == row.id.description)
      let job = scene.repair()
      for _ in 0..<5 where !scene.unfinished.isEmpty { _ = try await job.step() }
      #expect(try await scene.call(CoordinatorMethods.commitUpload, commit).fewestReplicas == 2)
    }
  }

  @Test func `chunks of an open upload are copied along, and condemned ones are neither copied nor missed`()
    async throws
  {
    try await run(3) { scene, datanodes, nodes in
      let two = Array(nodes.prefix(2))
      let upload = try await ScriptedUpload("/open", at: scene, chunks: 1)
      let open = try upload.sealedChunks(by: two)[0].reference
      let openID = ChunkID(inode: InodeID(rawValue: upload.begun.upload), index: open.index)
      try datanodes.put(openID, open, on: two)
      let group = GroupID(rawValue: open.group)
      var kept: [ChunkID] = []
      var condemned: [ChunkID] = []
      for number in 0..<300 where kept.isEmpty || condemned.isEmpty {
        let chunks = try await scene.store("/\(number)", on: two, datanodes, chunks: 1)
        guard scene.group(of: chunks[0]) == group else { continue }
        if condemned.isEmpty {
          condemned = chunks
          try await scene.removeNow("/\(number)")
          for node in 1...2 as ClosedRange<UInt64> { datanodes.lose(chunks[0], on: node) }
        } else {
          kept = chunks
        }
      }
      #expect(kept.count == 1 && condemned.count == 1)
      let job = scene.repair()
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty)
      #expect(datanodes.chunks(on: 3).isSuperset(of: kept + [openID]))
      #expect(datanodes.chunks(on: 3).isDisjoint(with: condemned))
      #expect(scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now).lostChunks == 0)
    }
  }

  @Test func `lost chunks told at a registration and bad ones told in a heartbeat are repaired`() async throws
  {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 3)
      let bad = chunks[0]
      let group = try #require(scene.group(of: bad))
      datanodes.lose(bad, on: 2)
      var report = WireReplicaReport()
      report.chunk = WireChunkId(bad)
      report.group = group.rawValue
      report.node = 2
      report.fault = .corrupt
      var heartbeat = nodes[1].heartbeat
      heartbeat.badReplicas = [report]
      try await nodes[1].beat(at: scene, heartbeat)
      #expect(scene.unfinished == [group])
      let job = scene.repair()
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty && datanodes.chunks(on: 2) == Set(chunks))

      for chunk in chunks { datanodes.lose(chunk, on: 3) }
      var registration = nodes[2].registration
      registration.lostChunks = true
      _ = try await scene.call(CoordinatorMethods.registerNode, registration)
      try await nodes[2].beat(at: scene)
      #expect(scene.unfinished.count == scene.coordinator.cluster.withState { $0.table.count })
      for _ in 0..<20 where !scene.unfinished.isEmpty { _ = try await job.step() }
      #expect(scene.unfinished.isEmpty && datanodes.chunks(on: 3) == Set(chunks))
    }
  }

  @Test func `once a member is full again, reports of what it has are news, but for what nobody has`()
    async throws
  {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 1)
      let group = try #require(scene.group(of: chunks[0]))
      let bad = ReplicaReport(chunk: chunks[0], group: group, node: nodes[1].id, fault: .corrupt)
      let reports = scene.coordinator.service.reports
      // It has the chunk when it is looked for, so nothing is copied.
      #expect(reports.confirm(bad) && !reports.confirm(bad) && reports.add([bad]).isEmpty)
      try await scene.coordinator.service.groups.markBehind(nodes[1].id, [group], because: "a test")
      _ = try await scene.repair().step()
      #expect(scene.unfinished.isEmpty && datanodes.copies.isEmpty)
      #expect(reports.add([bad]) == [bad])

      #expect(reports.confirm(bad))
      reports.forget(group, on: [nodes[0].id], lost: [], of: reports.findings)
      reports.forget(GroupID(rawValue: group.rawValue + 1), on: [nodes[1].id], lost: [], of: reports.findings)
      reports.forget(group, on: [nodes[1].id], lost: chunks, of: reports.findings)
      #expect(reports.add([bad]).isEmpty, "another member, another group, a chunk that nobody has")
      reports.forget(group, on: [nodes[1].id], lost: [], of: reports.findings)
      #expect(reports.add([bad]) == [bad])
    }
  }

  @Test func `a node is drained without a moment of fewer than two full copies, and can be removed then`()
    async throws
  {
    try await run(4) { scene, datanodes, nodes in
      for number in 0..<4 { try await scene.store("/\(number)", on: nodes, datanodes, chunks: 30) }
      let registrar = scene.coordinator.service.registrar
      #expect(try await registrar.change(nodes[0].id, .drain).state == .draining)
      await #expect(throws: DFSError.self) { try await registrar.change(nodes[0].id, .remove(.ifSafe)) }
      let job = scene.repair()
      for _ in 0..<60 where scene.coordinator.cluster.withState({ $0.table.slotCount(of: nodes[0].id) }) > 0 {
        try await scene.pass(4, beating: nodes)
        let fewest = scene.coordinator.cluster.withState { state in
          state.table.groups.values.map { $0.slots.count { $0.state == .full } }.min()
        }
        #expect(fewest ?? 0 >= 2)
        #expect(scene.coordinator.cluster.groupSummary().short.isEmpty, "node 1 has everything still")
        _ = try await job.step()
      }
      #expect(scene.coordinator.cluster.withState { $0.table.slotCount(of: nodes[0].id) } == 0)
      _ = try await job.step()
      #expect(try await registrar.change(nodes[0].id, .remove(.ifSafe)).state == .removed)
      let others = (2...4).map { datanodes.chunks(on: $0) }
      #expect(others.allSatisfy { $0.count == 120 }, "three nodes, three copies")
    }
  }

  @Test func `a node with the only copies is drained: everything is copied first, then it is replaced`()
    async throws
  {
    try await run(3, replicas: 1) { scene, datanodes, nodes in
      var chunks: [ChunkID] = []
      for number in 0..<6 { chunks += try await scene.store("/\(number)", on: nodes, datanodes, chunks: 20) }
      let moved = datanodes.chunks(on: 1)
      #expect(!moved.isEmpty)
      _ = try await scene.coordinator.service.registrar.change(nodes[0].id, .drain)
      let late = NIOLockedValueBox<[ChunkID]>([])
      datanodes.beforeCopies {
        // While the first group is copied, another file comes in.
        late.withLockedValue { $0 = [] }
        let more = try await scene.store("/late", on: nodes, datanodes, chunks: 40)
        late.withLockedValue { $0 = more }
      }
      let job = scene.repair()
      for _ in 0..<20 where scene.coordinator.cluster.withState({ $0.table.slotCount(of: nodes[0].id) }) > 0 {
        try await scene.pass(4, beating: nodes)
        _ = try await job.step()
      }
      for _ in 0..<5 where !scene.unfinished.isEmpty { _ = try await job.step() }
      #expect(scene.unfinished.isEmpty)
      let all = Set(chunks + late.withLockedValue { $0 })
      #expect(datanodes.chunks(on: 2).union(datanodes.chunks(on: 3)) == all)
      #expect(scene.coordinator.cluster.repairStatus(meanChunk: 0, now: scene.time.now).lostChunks == 0)
      #expect(
        try await scene.coordinator.service.registrar.change(nodes[0].id, .remove(.ifSafe)).state == .removed)
    }
  }

  @Test func `after a restart a member that registers first is not made full by its own word`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      let store = MemoryStore()
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 1)
        let group = try #require(scene.group(of: chunks[0]))
        try await scene.coordinator.service.groups.markBehind(nodes[2].id, [group], because: "a test")
      }
      try await CoordinatorScene.run(store: store) { scene in
        var third = ScriptedNode(3)
        third.address = address
        try await third.register(at: scene)
        try await third.beat(at: scene)
        let job = scene.repair()
        _ = try await job.step()
        #expect(!scene.unfinished.isEmpty, "nodes 1 and 2 may have what it lacks")
        _ = try await scene.join(3, address: address)
        scene.time.pass(.seconds(5))
        _ = try await job.step()
        #expect(scene.unfinished.isEmpty)
      }
    }
  }

  @Test func `a pass that lacks a node in maintenance is not repeated before that is back`() async throws {
    try await run(3) { scene, datanodes, nodes in
      let chunks = try await scene.store("/f", on: nodes, datanodes, chunks: 6)
      let groups = Set(chunks.compactMap { scene.group(of: $0) })
      _ = try await scene.coordinator.service.registrar.change(nodes[2].id, .maintenance)
      let two = Array(nodes.prefix(2))
      try await scene.pass(80, beating: two)
      datanodes.lose(chunks[0], on: 2)
      try await scene.coordinator.service.groups.markBehind(nodes[1].id, groups, because: "a test")
      let job = scene.repair()
      _ = try await job.step()
      #expect(datanodes.chunks(on: 2) == Set(chunks), "what can be copied is")
      let lists = datanodes.lists
      for _ in 0..<40 {
        try await scene.pass(16, beating: two)
        _ = try await job.step()
      }
      #expect(scene.unfinished == groups, "node 3 may have chunks of uploads under way")
      #expect(datanodes.lists == lists, "nobody has looked at a disk again")

      // A member loses something more meanwhile: that is looked for at once.
      let group = try #require(scene.group(of: chunks[1]))
      for chunk in chunks where scene.group(of: chunk) == group { datanodes.lose(chunk, on: 2) }
      try await scene.coordinator.service.groups.markBehind(nodes[1].id, [group], because: "a test")
      try await scene.pass(8, beating: two)
      _ = try await job.step()
      #expect(datanodes.chunks(on: 2) == Set(chunks))

      try await scene.pass(8, beating: nodes)
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty)
    }
  }

  @Test func `a restarted coordinator goes on with repair`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      let store = MemoryStore()
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes)
      }
      try await CoordinatorScene.run(store: store) { scene in
        #expect(!scene.unfinished.isEmpty)
        #expect(try await scene.repair().step() != .after(.zero), "nobody has registered yet")
        _ = try await scene.join(3, address: address)
        _ = try await scene.repair().step()
        #expect(scene.unfinished.isEmpty && datanodes.chunks(on: 3).count == 4)
      }
    }
  }
}

extension CoordinatorScene {
  func group(of chunk: ChunkID) -> GroupID? {
    try? coordinator.namespace.view().reference(of: chunk)?.group
  }

  func removeNow(_ path: String) async throws {
    var request = WireRemoveRequest()
    request.requestID = requestID()
    request.path = path
    request.now = true
    _ = try await call(CoordinatorMethods.remove, request)
  }
}

@Suite struct PlanRaceTests {
  @Test func `a plan made on rows that changed since is made again on the new ones`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(4)
      try await scene.pass(12, beating: nodes)
      // The rows change without this coordinator's table learning of it, as when the read after a seal fails.
      let before = try #require(
        scene.coordinator.cluster.withState { $0.table.groups(of: nodes[3].id).min() })
      _ = try await scene.coordinator.namespace.mutate(MarkBehind(node: nodes[3].id, groups: [before]))
      try await scene.pass(80, beating: Array(nodes.prefix(3)))
      #expect(scene.coordinator.cluster.withState { $0.table.slotCount(of: nodes[3].id) } == 0)
    }
  }
}
