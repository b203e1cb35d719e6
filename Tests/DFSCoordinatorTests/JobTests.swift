import DFSCore
import DFSJobs
import DFSKeyValue
import DFSMetadata
import DFSWire
import Logging
import Synchronization
import TestSupport
import Testing

@testable import DFSCoordinator

extension CoordinatorScene {
  var reaper: ReapCondemned {
    ReapCondemned(
      namespace: coordinator.namespace, cluster: coordinator.cluster, channels: coordinator.channels,
      disk: disk,
      logger: Self.silence)
  }

  /// Steps until the job has nothing to do at once.
  func exhaust(_ job: some Job) async throws {
    for _ in 0..<10_000 where try await job.step() != .atOnce { return }
    throw DFSError(.internal, "\(job.name) does not come to an end")
  }
}

@Suite(.timeLimit(.minutes(1)))
struct `Jobs of a coordinator` {
  @Test func `a removed file is reaped on every member after its grace, then forgotten`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 5)
        try await scene.remove("/a")
        try await scene.exhaust(scene.reaper)
        #expect(datanodes.orders.isEmpty, "the grace is not over")
        scene.time.pass(.seconds(121))
        for node in nodes { try await node.beat(at: scene) }
        datanodes.refuse([2])
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 1, "a member that does not answer holds it back")
        datanodes.refuse([])
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 0)
        for node in 1...3 as ClosedRange<UInt64> {
          let orders = Set(datanodes.orders.filter { $0.node == node })
          #expect(orders.reduce(0) { $0 + $1.count } == 5)
          #expect(
            orders.allSatisfy { $0.inode == file.inode && $0.epoch == scene.coordinator.namespace.epoch })
        }
      }
    }
  }

  @Test func `a pinned version waits, one whose member is down too, and others pass by`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene)
        try await ScriptedUpload.put("/b", by: nodes, at: scene)
        try await scene.remove("/a")
        try await scene.remove("/b")
        scene.time.pass(.seconds(119))
        var pin = WirePinVersionRequest()
        pin.inodes = [file.inode, 999]
        #expect(try await scene.call(CoordinatorMethods.pinVersion, pin).gone == [999])
        scene.time.pass(.seconds(2))
        for node in nodes { try await node.beat(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 1)
        scene.time.pass(.seconds(50))
        for node in nodes { try await node.beat(at: scene) }
        scene.time.pass(.seconds(11))
        for node in nodes.dropLast() { try await node.beat(at: scene) }
        _ = try await scene.watch.step()
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 1)
        try await nodes[2].reregister(at: scene)
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 0)
      }
    }
  }

  @Test func `a member that is out is not waited for, and one that has not registered yet is`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      let store = MemoryStore()
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(4, address: address)
        try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 50)
        try await scene.remove("/a")
      }
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        scene.time.pass(.seconds(130))
        for node in nodes { try await node.beat(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned > 0, "node 4 has not said where it is")
        _ = try await scene.watch.step()
        #expect(try await scene.status().nodesOut == 1)
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 0)
        #expect(Set(datanodes.orders.map(\.node)).isSubset(of: [1, 2, 3]))
      }
    }
  }

  @Test func `a long file is reaped segment by segment, to its end`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(1, address: address)
        var begin = ScriptedUpload.beginRequest("/long", at: scene, chunks: 512)
        begin.replicas = 1
        var upload = try await ScriptedUpload(begin, at: scene)
        for segment in 0..<3 as Range<UInt64> {
          var seal = WireSealSegmentRequest()
          seal.requestID = scene.requestID()
          seal.upload = upload.begun.upload
          seal.segment = segment
          seal.chunks = try upload.sealedChunks(by: nodes)
          #expect(try await scene.call(CoordinatorMethods.sealSegment, seal).rejectedIndices.isEmpty)
          var more = WireAllocateChunksRequest()
          more.requestID = scene.requestID()
          more.upload = upload.begun.upload
          more.chunks = 512
          let next = try await scene.call(CoordinatorMethods.allocateChunks, more)
          upload.allocations = next.allocations
          for group in next.groups { upload.groups[group.id] = group }
        }
        var commit = upload.commitRequest([], at: scene)
        (commit.chunkCount, commit.length) = (3 * 512, 3 * 512 * 65536)
        _ = try await scene.call(CoordinatorMethods.commitUpload, commit)
        try await scene.remove("/long")
        scene.time.pass(.seconds(121))
        try await nodes[0].beat(at: scene)
        try await scene.exhaust(scene.reaper)
        #expect(try await scene.status().condemned == 0)
        // Three segments, and the 512 indices that were allocated and not used.
        let indices = Set(datanodes.orders.flatMap { $0.first..<$0.first + $0.count })
        #expect(indices == Set(0..<4 * 512))
      }
    }
  }

  @Test func `a removed tree goes, level by level`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        for number in 0..<3 {
          try await scene.putInline("/t/\(number)/small", [1], makeParents: true)
          try await ScriptedUpload.put("/t/\(number)/large", by: nodes, at: scene, chunks: 2)
        }
        try await scene.remove("/t", recursive: true)
        scene.time.pass(.seconds(121))
        for node in nodes { try await node.beat(at: scene) }
        try await scene.exhaust(scene.reaper)
        let status = try await scene.status()
        #expect(status.condemned == 0 && status.files == 0 && status.directories == 1)
        #expect(datanodes.orders.filter { $0.node == 1 }.reduce(0) { $0 + $1.count } == 6)
      }
    }
  }

  @Test func `an upload whose lease ends is aborted and its chunks reaped`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        _ = try await ScriptedUpload("/a", at: scene, chunks: 3)
        let job = ExpireUploads(namespace: scene.coordinator.namespace, logger: CoordinatorScene.silence)
        try await scene.exhaust(job)
        #expect(try await scene.status().openUploads == 1)
        scene.time.pass(.seconds(121))
        try await scene.exhaust(job)
        #expect(try await scene.status().openUploads == 0)
        scene.time.pass(.seconds(121))
        for node in nodes { try await node.reregister(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(datanodes.orders.filter { $0.node == 3 }.reduce(0) { $0 + $1.count } == 3)
      }
    }
  }

  @Test func `the watch declares nodes down and out, durably, and plans for those that come`() async throws {
    try await CoordinatorScene.run { scene in
      let watch = scene.watch
      var nodes = try await scene.join(4)
      for _ in 0..<3 {
        _ = try await watch.step()
        scene.time.pass(.seconds(1))
      }
      #expect(try await scene.status().groups == 133)
      for _ in 0..<9 {
        scene.time.pass(.seconds(8))
        for node in nodes.prefix(3) { try await node.beat(at: scene) }
        _ = try await watch.step()
      }
      var status = try await scene.status()
      #expect(status.nodesUp == 3 && status.nodesOut == 1)
      #expect(try scene.coordinator.namespace.view().node(NodeID(rawValue: 4))?.state == .out)
      try await nodes[3].register(at: scene)
      #expect(try scene.coordinator.namespace.view().node(NodeID(rawValue: 4))?.state == .active)
      var fifth = ScriptedNode(5)
      try await fifth.register(at: scene)
      for _ in 0..<4 {
        _ = try await watch.step()
        scene.time.pass(.seconds(1))
      }
      status = try await scene.status()
      #expect(status.nodesUp == 5 && status.groups == 166)
      let list = try await scene.call(CoordinatorMethods.listNodes, WireListNodesRequest())
      #expect(list.nodes.map(\.address.node) == [1, 2, 3, 4, 5])
      #expect(list.nodes.allSatisfy { $0.slots > 60 && $0.state == .up })
      let groups = try await scene.call(CoordinatorMethods.getGroups, WireGetGroupsRequest())
      #expect(groups.groups.count == 166 && groups.nodes.count == 5 && !groups.hasNextGroup)
    }
  }

  @Test func `a report is believed when the node's own look confirms it`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 2)
        let chunks = try await scene.lookup("/a").chunks
        let id = ChunkID(inode: InodeID(rawValue: file.inode), index: 1)
        for chunk in chunks {
          let id = ChunkID(inode: InodeID(rawValue: file.inode), index: chunk.index)
          try datanodes.put(id, chunk, on: nodes)
        }
        datanodes.spoil(id)
        var request = WireReportReplicasRequest()
        for node in [1, 2] as [UInt64] {
          for chunk in chunks {
            var report = WireReplicaReport()
            report.chunk = WireChunkId(ChunkID(inode: InodeID(rawValue: file.inode), index: chunk.index))
            report.group = chunk.group
            report.node = node
            report.fault = .corrupt
            request.reports += [report, report]
          }
        }
        _ = try await scene.call(CoordinatorMethods.reportReplicas, request)
        let job = scene.verifier
        try await scene.exhaust(job)
        #expect(datanodes.looks == 4)
        #expect(try await scene.status().badReplicas == 2)
        _ = try await scene.call(CoordinatorMethods.reportReplicas, request)
        try await scene.exhaust(job)
        #expect(try await scene.status().badReplicas == 2, "what was found bad is counted once")
        let group = GroupID(rawValue: chunks.first { $0.index == 1 }?.group ?? 0)
        let row = try #require(try scene.coordinator.namespace.view().group(group))
        #expect(row.slots.filter { $0.state == .behind }.compactMap(\.node?.rawValue).sorted() == [1, 2])
        #expect(row.doubted == Set(row.slots.filter { $0.state == .behind }.compactMap(\.node)))
      }
    }
  }

  @Test func `a sound replica is bad when it is not what the metadata means by its id`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 3)
        let chunks = try await scene.lookup("/a").chunks.sorted { $0.index < $1.index }
        let ids = chunks.map { ChunkID(inode: InodeID(rawValue: file.inode), index: $0.index) }
        var (other, short) = (chunks[1], chunks[2])
        other.root = chunks[0].root
        short.length -= 1
        for (id, chunk) in zip(ids, [chunks[0], other, short]) { try datanodes.put(id, chunk, on: nodes) }
        let found = zip(ids, chunks).map { id, chunk in
          ReplicaReport(chunk: id, group: GroupID(rawValue: chunk.group), node: nodes[0].id, fault: .corrupt)
        }
        #expect(chunks[0].root != chunks[1].root)
        _ = scene.coordinator.service.reports.add(found)
        try await scene.exhaust(scene.verifier)
        #expect(try await scene.status().badReplicas == 2)
        for report in found.dropFirst() {
          let row = try scene.coordinator.namespace.view().group(report.group)
          #expect(row?.slots.first { $0.node == report.node }?.state == .behind)
        }
      }
    }
  }

  @Test func `a bad replica that could not be noted is news when it is told again`() async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 1)
        let chunk = try #require(try await scene.lookup("/a").chunks.first)
        let id = ChunkID(inode: InodeID(rawValue: file.inode), index: chunk.index)
        datanodes.spoil(id)
        let found = nodes.map {
          ReplicaReport(chunk: id, group: GroupID(rawValue: chunk.group), node: $0.id, fault: .corrupt)
        }
        let reports = scene.coordinator.service.reports
        #expect(reports.add([found[0]]).count == 1)
        // It still reads, and makes nothing durable any more.
        await scene.coordinator.namespace.close()
        try await scene.exhaust(scene.verifier)
        #expect(datanodes.looks == 1)
        var request = nodes[1].heartbeat
        request.badReplicas = [
          .with {
            $0.chunk = WireChunkId(id)
            $0.group = chunk.group
            $0.node = nodes[1].node
            $0.fault = .corrupt
          }
        ]
        await #expect(throws: DFSError.self) { try await nodes[1].beat(at: scene, request) }
        #expect(reports.add(Array(found.prefix(2))) == Array(found.prefix(2)))
      }
    }
  }

  @Test func `chunks of degraded groups are counted`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene)
      let chunks = try upload.sealedChunks(by: Array(nodes.dropLast()))
      _ = try await scene.call(CoordinatorMethods.commitUpload, upload.commitRequest(chunks, at: scene))
      let job = CountDegraded(
        namespace: scene.coordinator.namespace, cluster: scene.coordinator.cluster, disk: scene.disk,
        now: { scene.time.now })
      try await scene.exhaust(job)
      let status = try await scene.status()
      #expect(status.chunksAtRisk == 1)
      // Whatever loses a member next is counted at once: else its chunks would be called safe for a while.
      var files: UInt64 = 1
      while scene.coordinator.cluster.groupSummary().short.count < 2 {
        _ = try await ScriptedUpload.put("/b\(files)", by: Array(nodes.dropLast()), at: scene)
        files += 1
      }
      #expect(try await job.step() == .after(.seconds(1)))
      #expect(try await scene.status().chunksAtRisk == files)
      #expect(status.groupsUnreadable == 0 && status.groupsUnwritable == 0)
    }
  }

  @Test func `runs of condemned chunks are ordered together`() {
    func chunk(_ inode: UInt64, _ index: UInt32, _ group: UInt32) -> CondemnedChunk {
      CondemnedChunk(
        group: GroupID(rawValue: group), chunk: ChunkID(inode: InodeID(rawValue: inode), index: index))
    }
    let runs = ReapPlan.runs(of: [
      chunk(1, 2, 7), chunk(1, 0, 7), chunk(1, 1, 7), chunk(1, 4, 7), chunk(2, 5, 7), chunk(1, 3, 8),
      chunk(1, .max, 9),
    ])
    #expect(runs.map(\.first) == [0, 4, 5, 3, .max])
    #expect(runs.map(\.count) == [3, 1, 1, 1, 1])
  }
}

extension ScriptedNode {
  func reregister(at scene: CoordinatorScene) async throws {
    var node = self
    try await node.register(at: scene)
    try await node.beat(at: scene)
  }
}
