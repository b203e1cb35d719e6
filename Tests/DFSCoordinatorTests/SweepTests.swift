import DFSCore
import DFSJobs
import DFSKeyValue
import DFSWire
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSCoordinator
@testable import DFSMetadata

/// The sweep and the search for strays, with nodes that list and forget what a test gives them.
@Suite(.timeLimit(.minutes(1))) struct SweepTests {
  @Test func `orphans go after the grace, and nothing else does`() async throws {
    let datanodes = ScriptedChunks()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 8)
        let living = try await scene.chunks(of: "/a", file.inode)
        let open = try await ScriptedUpload("/open", at: scene, chunks: 3)
        let aborted = try await ScriptedUpload("/aborted", at: scene, chunks: 2)
        var abort = WireAbortUploadRequest()
        abort.requestID = scene.requestID()
        abort.upload = aborted.begun.upload
        _ = try await scene.call(CoordinatorMethods.abortUpload, abort)
        let group = living[0].group
        let never = ChunkID(inode: InodeID(rawValue: file.inode), index: 700)
        let future = ChunkID(inode: InodeID(SerialNumber(incarnation: 9, counter: 1)), index: 0)
        let uploading = ChunkID(inode: InodeID(rawValue: open.begun.upload), index: 9)
        let all = nodes.map(\.id)
        for found in living { datanodes.give([found.chunk], of: found.group, to: all) }
        datanodes.give([uploading], of: group, to: [all[0]])
        datanodes.give([never], of: group, to: [all[0], all[2]])
        datanodes.give([future], of: group, to: all)
        // Transfers of the aborted upload that end late: first its own record deals with them.
        let late = aborted.indices.map {
          (ChunkID(inode: InodeID(rawValue: aborted.begun.upload), index: $0.0), $0.1)
        }
        for (chunk, group) in late { datanodes.give([chunk], of: GroupID(rawValue: group), to: [all[1]]) }
        let before = Dictionary(uniqueKeysWithValues: all.map { ($0, datanodes.has($0, group)) })

        var check = try await scene.check()
        #expect(check.orphans == 1 && check.chunks == 9 && check.missing == 0 && check.skippedGroups == 0)
        #expect(
          check.incompleteMembers == 0
            && check.groups == scene.coordinator.cluster.withState { $0.table.count })
        check = try await scene.check()
        #expect(check.orphans == 0, "what is condemned is not found again")
        try await scene.exhaust(scene.reaper)
        #expect(before == Dictionary(uniqueKeysWithValues: all.map { ($0, datanodes.has($0, group)) }))
        #expect(datanodes.state.withLockedValue { $0.removals.isEmpty }, "not before the grace is over")

        scene.time.pass(.seconds(100))
        for node in nodes { try await node.beat(at: scene) }
        _ = try scene.coordinator.namespace.renewUpload(InodeID(rawValue: open.begun.upload))
        scene.time.pass(.seconds(21))
        for node in nodes { try await node.beat(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(
          !datanodes.has(all[0], group).contains(never) && !datanodes.has(all[2], group).contains(never))
        #expect(datanodes.has(all[0], group).isSuperset(of: [uploading, future]))
        for found in living {
          for node in all { #expect(datanodes.has(node, found.group).contains(found.chunk)) }
        }
        for (chunk, group) in late {
          #expect(!datanodes.has(all[1], GroupID(rawValue: group)).contains(chunk))
        }

        // One comes later still: nothing knows it any more, so it is an orphan now, and goes.
        let (chunk, home) = (late[0].0, GroupID(rawValue: late[0].1))
        datanodes.give([chunk], of: home, to: [all[1]])
        #expect(try await scene.check().orphans == 1)
        scene.time.pass(.seconds(121))
        for node in nodes { try await node.reregister(at: scene) }
        try await scene.exhaust(scene.reaper)
        #expect(!datanodes.has(all[1], home).contains(chunk))
        #expect(try await scene.status().condemned == 0)
      }
    }
  }

  @Test func `a full member that lacks a chunk is behind, and what nobody has is counted and named`()
    async throws
  {
    let datanodes = ScriptedChunks()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene, chunks: 6)
        let chunks = try await scene.chunks(of: "/a", file.inode)
        for found in chunks { datanodes.give([found.chunk], of: found.group, to: nodes.map(\.id)) }
        datanodes.lose([chunks[0].chunk], of: chunks[0].group, from: nodes[1].id)
        for node in nodes { datanodes.lose([chunks[3].chunk], of: chunks[3].group, from: node.id) }
        let check = try await scene.check()
        #expect(check.missing == 1 && check.missingNamed == [chunks[3]])
        #expect(check.incompleteMembers == 1 && check.lackedCopies == 1 && check.orphans == 0)
        let row = try #require(scene.coordinator.cluster.withState { $0.table[chunks[0].group] })
        #expect(row.slots.first { $0.node == nodes[1].id }?.state == .behind)
        #expect(try scene.coordinator.namespace.view().group(row.id) == row)
        let status = try await scene.status()
        #expect(status.checkMissingChunks == 1 && status.checkOrphans == 0 && status.hasCheckEndedMs)
      }
    }
  }

  @Test func `a sweep that began before a commit`() async throws {
    let datanodes = ScriptedChunks()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/first", by: nodes, at: scene)
        for found in try await scene.chunks(of: "/first", file.inode) {
          datanodes.give([found.chunk], of: found.group, to: nodes.map(\.id))
        }
        // An upload writes its chunks when one node has been asked already, and is committed before the next.
        let upload = try await ScriptedUpload("/second", at: scene, chunks: 64)
        let step = NIOLockedValueBox(0)
        let all = nodes.map(\.id)
        datanodes.interrupt.withLockedValue { interrupt in
          interrupt = { event in
            guard case .listed = event,
              step.withLockedValue({
                $0 += 1; return $0
              }) == 3
            else { return }
            for (index, group) in upload.indices {
              let chunk = ChunkID(inode: InodeID(rawValue: upload.begun.upload), index: index)
              datanodes.give([chunk], of: GroupID(rawValue: group), to: all)
            }
            let request = upload.commitRequest(try upload.sealedChunks(by: nodes), at: scene)
            _ = try await scene.call(CoordinatorMethods.commitUpload, request)
          }
        }
        let check = try await scene.check()
        #expect(step.withLockedValue { $0 } > 3)
        #expect(check.incompleteMembers == 0 && check.orphans == 0 && check.missing == 0)
        datanodes.interrupt.withLockedValue { $0 = { _ in } }
        #expect(try await scene.check().chunks == 65)
        let status = try await scene.status()
        #expect(status.groupsDegraded == 0 && status.condemned == 0)
      }
    }
  }

  @Test func `a group with a silent member is passed over and comes again`() async throws {
    let datanodes = ScriptedChunks()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await ScriptedUpload.put("/a", by: nodes, at: scene)
        let found = try await scene.chunks(of: "/a", file.inode)[0]
        let dead = ChunkID(inode: InodeID(rawValue: file.inode), index: 800)
        datanodes.give([found.chunk], of: found.group, to: nodes.map(\.id))
        datanodes.give([dead], of: found.group, to: [nodes[0].id])
        datanodes.state.withLockedValue { $0.silent = [nodes[1].id] }
        let job = scene.sweep
        let check = try await scene.check(job)
        #expect(check.groups == 0 && check.skippedGroups > 0 && check.orphans == 0)
        datanodes.state.withLockedValue { $0.silent = [] }
        scene.time.pass(.seconds(61))
        for node in nodes { try await node.reregister(at: scene) }
        try await scene.exhaust(job)
        let again = try #require(scene.coordinator.cluster.withState { $0.checks.last })
        #expect(again.number == check.number && again.skippedGroups == 0 && again.orphans == 1)
      }
    }
  }

  @Test
  func `while the namespace is held a check looks and condemns nothing, and its end allows the release`()
    async throws
  {
    let datanodes = ScriptedChunks()
    let store = MemoryStore()
    try await datanodes.serve { address in
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        try await ScriptedUpload.put("/a", by: nodes, at: scene)
      }
      try hold(store)
      try await CoordinatorScene.run(store: store) { scene in
        let nodes = try await scene.join(3, address: address)
        let file = try await scene.stat("/a")
        let found = try await scene.chunks(of: "/a", file.inode)[0]
        let dead = ChunkID(inode: InodeID(rawValue: file.inode), index: 800)
        datanodes.give([found.chunk, dead], of: found.group, to: nodes.map(\.id))
        #expect(scene.coordinator.namespace.isHeld)
        await #expect(throws: DFSError.self) {
          try await scene.call(CoordinatorMethods.releaseHold, WireReleaseHoldRequest())
        }
        #expect(try await scene.check().orphans == 1)
        #expect(try await scene.status().condemned == 0)
        _ = try await scene.call(CoordinatorMethods.releaseHold, WireReleaseHoldRequest())
        #expect(try await scene.check().orphans == 1)
        #expect(try await scene.status().condemned == 1)
      }
    }
  }
}

/// Says in the store that it was restored and nobody has released it.
private func hold(_ store: MemoryStore) throws {
  var record = try ClusterRecord(stored: try #require(try store.value(for: Keys.cluster)))
  record.isHeld = true
  var batch = WriteBatch()
  batch.put(Keys.cluster, record.encoded)
  try store.apply(batch, durability: .synced)
}

extension CoordinatorScene {
  var sweep: SweepGroups {
    SweepGroups(
      namespace: coordinator.namespace, cluster: coordinator.cluster, groups: coordinator.service.groups,
      channels: coordinator.channels,
      disk: disk,
      period: .seconds(86_400), logger: Self.silence, now: { self.time.now })
  }

  var search: SweepStrays {
    SweepStrays(
      namespace: coordinator.namespace, cluster: coordinator.cluster, groups: coordinator.service.groups,
      channels: coordinator.channels,
      disk: disk,
      period: .seconds(86_400), logger: Self.silence, now: { self.time.now })
  }

  /// A check of all groups from its beginning to its end.
  func check(_ job: SweepGroups? = nil) async throws -> CheckResult {
    let job = job ?? sweep
    job.beginPass()
    try await exhaust(job)
    return try #require(coordinator.cluster.withState { $0.checks.last })
  }

  /// A search of all nodes from its beginning to its end; gives what was found and removed.
  func searchStrays() async throws -> CheckResult {
    let job = search
    job.beginPass()
    try await exhaust(job)
    coordinator.cluster.withState {
      $0.checks.ended(CheckResult(number: 0, startedAt: time.now, endedAt: time.now))
    }
    return try #require(coordinator.cluster.withState { $0.checks.last })
  }

  func chunks(of path: String, _ inode: UInt64) async throws -> [GroupedChunk] {
    try await lookup(path).chunks.map {
      GroupedChunk(
        group: GroupID(rawValue: $0.group), chunk: ChunkID(inode: InodeID(rawValue: inode), index: $0.index))
    }
  }
}
