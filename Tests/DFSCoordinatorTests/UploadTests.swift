import DFSCore
import DFSKeyValue
import DFSWire
import Testing

@testable import DFSCoordinator

private func code(_ body: () async throws -> Void) async -> DFSError.Code? {
  do {
    try await body()
    return nil
  } catch { return (error as? DFSError)?.code }
}

@Suite(.timeLimit(.minutes(1)))
struct `Uploads at a coordinator` {
  @Test func `a file is begun, committed with receipts of three nodes, and looked up`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene, chunks: 4)
      #expect(upload.begun.replicas == 3)
      #expect(upload.begun.nodes.count == 3)
      #expect(upload.indices.map(\.index) == [0, 1, 2, 3])
      #expect(upload.begun.groups.allSatisfy { $0.slots.allSatisfy { $0.reachable && $0.state == .full } })
      let chunks = try upload.sealedChunks(by: nodes, lastLength: 100)
      var request = upload.commitRequest(chunks, at: scene)
      request.attributes.mode = 0o600
      request.attributes.modifiedNs = 5
      request.attributes.owner = "me"
      let committed = try await scene.call(CoordinatorMethods.commitUpload, request)
      #expect(committed.rejectedIndices.isEmpty)
      #expect(committed.fewestReplicas == 3)
      #expect(committed.attributes.length == 3 * 65536 + 100)
      #expect(committed.attributes.mode == 0o600)
      #expect(committed.attributes.owner == "me")

      let found = try await scene.lookup("/a")
      #expect(found.attributes == committed.attributes)
      #expect(found.chunks == chunks.map(\.reference))
      #expect(found.groups.count == Set(chunks.map(\.reference.group)).count)
      #expect(found.nodes.count == 3)
      #expect(found.validMs > 0)
      #expect(try await scene.stat("/a") == committed.attributes)
      let status = try await scene.status()
      #expect(status.files == 1 && status.chunks == 4 && status.openUploads == 0)
      #expect(status.nodesUp == 3 && status.groups == 100 && status.groupsDegraded == 0)
    }
  }

  @Test func `a retry is answered as the first time, and an id with other arguments is refused`() async throws
  {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let begin = ScriptedUpload.beginRequest("/a", at: scene, chunks: 8)
      let upload = try await ScriptedUpload(begin, at: scene)
      let again = try await ScriptedUpload(begin, at: scene)
      #expect(again.begun.upload == upload.begun.upload)
      #expect(again.allocations == upload.allocations)
      var other = begin
      other.path = "/b"
      #expect(await code { _ = try await ScriptedUpload(other, at: scene) } == .invalidArgument)

      var more = WireAllocateChunksRequest()
      more.requestID = scene.requestID()
      more.upload = upload.begun.upload
      more.chunks = 5
      let first = try await scene.call(CoordinatorMethods.allocateChunks, more)
      let second = try await scene.call(CoordinatorMethods.allocateChunks, more)
      #expect(first.allocations == second.allocations)
      #expect(first.allocations.first?.firstIndex == 8)

      let commit = upload.commitRequest(try upload.sealedChunks(by: nodes), at: scene)
      let committed = try await scene.call(CoordinatorMethods.commitUpload, commit)
      let replayed = try await scene.call(CoordinatorMethods.commitUpload, commit)
      #expect(replayed.attributes == committed.attributes)
      #expect(replayed.revision == committed.revision)
      try await scene.remove("/a")
      let late = try await scene.call(CoordinatorMethods.commitUpload, commit)
      #expect(late.attributes.inode == committed.attributes.inode)
    }
  }

  @Test func `forged, foreign and mislabelled receipts count as none`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene)
      let good = try upload.sealedChunks(by: nodes)
      let reference = good[0].reference
      let epoch = upload.groups[reference.group]?.epoch ?? 0
      var bad: [[WireReceipt]] = []
      bad.append(
        try nodes.map { try $0.receipt(reference, of: upload.begun.upload, groupEpoch: epoch, key: [1]) })
      bad.append(try nodes.map { try $0.receipt(reference, of: upload.begun.upload + 1, groupEpoch: epoch) })
      var longer = reference
      longer.length -= 1
      bad.append(try nodes.map { try $0.receipt(longer, of: upload.begun.upload, groupEpoch: epoch) })
      // One node's receipt under the names of all.
      bad.append(
        nodes.map { node in
          var receipt = good[0].receipts[0]
          receipt.node = node.node
          receipt.store = node.store
          return receipt
        })
      bad.append([good[0].receipts[0], good[0].receipts[0], good[0].receipts[0]])
      for receipts in bad {
        var chunk = good[0]
        chunk.receipts = receipts
        let answer = try await scene.call(
          CoordinatorMethods.commitUpload, upload.commitRequest([chunk], at: scene))
        #expect(answer.rejectedIndices == [reference.index])
        #expect(!answer.hasAttributes)
      }
      #expect(await code { _ = try await scene.stat("/a") } == .notFound)
      let answer = try await scene.call(
        CoordinatorMethods.commitUpload, upload.commitRequest(good, at: scene))
      #expect(answer.hasAttributes)
    }
  }

  @Test func `a member without a receipt is behind, at once and for everybody`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene)
      let chunks = try upload.sealedChunks(by: Array(nodes.dropLast()))
      let answer = try await scene.call(
        CoordinatorMethods.commitUpload, upload.commitRequest(chunks, at: scene))
      #expect(answer.fewestReplicas == 2)
      let found = try await scene.lookup("/a")
      #expect(found.groups[0].slots.first { $0.node == 3 }?.state == .behind)
      #expect(found.groups[0].epoch > upload.begun.groups[0].epoch)
      let status = try await scene.status()
      #expect(status.groupsDegraded == 1)
      let beat = try await nodes[2].beat(at: scene)
      let told = beat.groupEpochs.first { $0.group == found.groups[0].id }
      #expect(told?.epoch == found.groups[0].epoch)
    }
  }

  @Test func `a chunk under the name of another group is refused`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene)
      var chunk = try upload.sealedChunks(by: nodes)[0]
      chunk.reference.group = chunk.reference.group == 1 ? 2 : 1
      let request = upload.commitRequest([chunk], at: scene)
      #expect(
        await code { _ = try await scene.call(CoordinatorMethods.commitUpload, request) } == .invalidArgument)
    }
  }

  @Test func `segments are sealed in order and a long file is committed without them`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      let upload = try await ScriptedUpload("/big", at: scene, chunks: 512)
      var seal = WireSealSegmentRequest()
      seal.requestID = scene.requestID()
      seal.upload = upload.begun.upload
      seal.chunks = try upload.sealedChunks(by: nodes)
      #expect(try await scene.call(CoordinatorMethods.sealSegment, seal).rejectedIndices.isEmpty)
      #expect(try await scene.call(CoordinatorMethods.sealSegment, seal).rejectedIndices.isEmpty)

      var resume = WireResumeUploadRequest()
      resume.upload = upload.begun.upload
      let resumed = try await scene.call(CoordinatorMethods.resumeUpload, resume)
      #expect(resumed.path == "/big" && resumed.sealedSegments == 1 && !resumed.more)
      #expect(resumed.allocations == upload.allocations)
      resume.fromIndex = 500
      let rest = try await scene.call(CoordinatorMethods.resumeUpload, resume).allocations
      #expect(rest.first?.firstIndex == 500 && rest.reduce(0) { $0 + $1.count } == 12)

      var more = WireAllocateChunksRequest()
      more.requestID = scene.requestID()
      more.upload = upload.begun.upload
      more.chunks = 2
      let second = try await scene.call(CoordinatorMethods.allocateChunks, more)
      var tail = upload
      tail.allocations = second.allocations
      for group in second.groups { tail.groups[group.id] = group }
      let last = try tail.sealedChunks(by: nodes, lastLength: 7)
      var commit = tail.commitRequest(last, at: scene)
      commit.chunkCount = 514
      commit.length = 513 * 65536 + 7
      let committed = try await scene.call(CoordinatorMethods.commitUpload, commit)
      #expect(committed.attributes.chunkCount == 514)

      var page = WireGetManifestRequest()
      page.inode = committed.attributes.inode
      page.firstChunk = 510
      page.maxChunks = 3
      #expect(
        try await scene.call(CoordinatorMethods.getManifest, page).chunks.map(\.index) == [510, 511, 512])
      page.firstChunk = 513
      page.maxChunks = 0
      #expect(try await scene.call(CoordinatorMethods.getManifest, page).chunks == [last[1].reference])
      page.firstChunk = 514
      #expect(try await scene.call(CoordinatorMethods.getManifest, page).chunks.isEmpty)
      #expect(try await scene.lookup("/big").chunks.count == 514)
    }
  }

  @Test func `too few nodes are refused with advice, and a later node makes it work`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(1)
      let request = ScriptedUpload.beginRequest("/a", at: scene)
      let error = await #expect(throws: DFSError.self) { try await ScriptedUpload(request, at: scene) }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message.contains("start 1 more") == true)
      var single = request
      single.requestID = scene.requestID()
      single.replicas = 1
      let upload = try await ScriptedUpload(single, at: scene)
      #expect(upload.begun.replicas == 1)
      let commit = upload.commitRequest(try upload.sealedChunks(by: nodes), at: scene)
      #expect(try await scene.call(CoordinatorMethods.commitUpload, commit).attributes.replicas == 1)
    }
  }

  @Test func `after a restart receipts of before still count, and nodes register again`() async throws {
    let store = MemoryStore()
    let pending = ScriptedBox<(ScriptedUpload, [ScriptedNode])>()
    try await CoordinatorScene.run(store: store) { scene in
      let nodes = try await scene.join(3)
      pending.value = (try await ScriptedUpload("/a", at: scene), nodes)
    }
    try await CoordinatorScene.run(store: store) { scene in
      guard let (upload, before) = pending.value else { throw DFSError(.internal, "nothing was begun") }
      #expect(await code { try await before[0].beat(at: scene) } == .stale)
      let chunks = try upload.sealedChunks(by: before)
      let answer = try await scene.call(
        CoordinatorMethods.commitUpload, upload.commitRequest(chunks, at: scene))
      #expect(answer.fewestReplicas == 3)
      var node = before[0]
      try await node.register(at: scene)
      #expect(node.epoch > before[0].epoch)
      #expect(node.receiptKey == before[0].receiptKey)
      #expect(try await scene.lookup("/a").nodes.count == 3)
    }
  }

  @Test func `receipts of an earlier boot count until that boot speaks again`() async throws {
    try await CoordinatorScene.run { scene in
      var nodes = try await scene.join(3)
      let old = nodes[0]
      let upload = try await ScriptedUpload("/a", at: scene)
      let chunks = try upload.sealedChunks(by: nodes)
      nodes[0].boot = 2
      try await nodes[0].register(at: scene)
      #expect(nodes[0].receiptKey != old.receiptKey)
      let answer = try await scene.call(
        CoordinatorMethods.commitUpload, upload.commitRequest(chunks, at: scene))
      #expect(answer.fewestReplicas == 3)

      let next = try await ScriptedUpload("/b", at: scene)
      let stale = try next.sealedChunks(by: [old, nodes[1], nodes[2]])
      #expect(await code { try await old.beat(at: scene) } == .failedPrecondition)
      let second = try await scene.call(CoordinatorMethods.commitUpload, next.commitRequest(stale, at: scene))
      #expect(second.fewestReplicas == 2)
    }
  }

  @Test func `renewing and aborting tell what is gone`() async throws {
    try await CoordinatorScene.run { scene in
      _ = try await scene.join(3)
      let upload = try await ScriptedUpload("/a", at: scene)
      var renew = WireRenewUploadRequest()
      renew.uploads = [upload.begun.upload, 12345]
      #expect(try await scene.call(CoordinatorMethods.renewUpload, renew).gone == [12345])
      var abort = WireAbortUploadRequest()
      abort.requestID = scene.requestID()
      abort.upload = upload.begun.upload
      _ = try await scene.call(CoordinatorMethods.abortUpload, abort)
      #expect(try await scene.call(CoordinatorMethods.renewUpload, renew).gone == renew.uploads)
      #expect(try await scene.status().condemned == 1)
    }
  }
}

/// Carries a value from one scene to the next.
final class ScriptedBox<Value>: @unchecked Sendable {
  // SAFETY: tests write and read it one after another, in one task.
  var value: Value?
}
