import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import DFSCoordinator

/// What an attacker, a defect or another version may send: refused by name, and the next caller is served.
@Suite(.timeLimit(.minutes(1)))
struct `Hostile requests` {
  private static let raw = Marshaller<ByteBuffer>(
    encode: { OutgoingMessage(head: $0, body: .none) }, decode: { $0 })

  private func refusal<Request, Response>(
    _ scene: CoordinatorScene, _ method: UnaryMethod<Request, Response>, _ request: Request
  ) async -> DFSError.Code? {
    do {
      _ = try await scene.call(method, request)
      return nil
    } catch { return (error as? DFSError)?.code }
  }

  @Test func `random bytes to every method are refused or answered, and the coordinator goes on`()
    async throws
  {
    try await CoordinatorScene.run { scene in
      _ = try await scene.join(3)
      var generator = SeededGenerator()
      print("seed \(generator.seed)")
      for path in scene.coordinator.router.paths
      where path.hasPrefix("/dfs.v1.") && !path.hasSuffix("Heartbeat") {
        let method = UnaryMethod<ByteBuffer, ByteBuffer>(
          path: path, retry: .never, request: Self.raw, response: Self.raw)
        for _ in 0..<40 {
          let bytes = generator.bytes(Int.random(in: 0..<300, using: &generator))
          let code = await refusal(scene, method, ByteBuffer(bytes: bytes))
          #expect(code != .internal, "\(path) \(bytes)")
        }
      }
      #expect(try await scene.status().nodesUp == 3)
    }
  }

  @Test func `flipped bits of good messages are refused or answered`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      var generator = SeededGenerator()
      print("seed \(generator.seed)")
      let upload = try await ScriptedUpload("/a", at: scene, chunks: 3)
      let commit = upload.commitRequest(try upload.sealedChunks(by: nodes), at: scene)
      let messages: [(String, ByteBuffer)] = [
        (CoordinatorMethods.commitUpload.path, try commit.encoded()),
        (
          CoordinatorMethods.beginUpload.path,
          try ScriptedUpload.beginRequest("/b", at: scene, chunks: 9).encoded()
        ),
        (CoordinatorMethods.registerNode.path, try nodes[0].registration.encoded()),
        (CoordinatorMethods.putInline.path, try scene.inlineRequest("/c", [1, 2]).encoded()),
      ]
      for (path, message) in messages {
        let method = UnaryMethod<ByteBuffer, ByteBuffer>(
          path: path, retry: .never, request: Self.raw, response: Self.raw)
        for _ in 0..<60 {
          var bytes = Array(message.readableBytesView)
          for _ in 0..<Int.random(in: 1...3, using: &generator) {
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^=
              1 << UInt8.random(in: 0..<8, using: &generator)
          }
          let code = await refusal(scene, method, ByteBuffer(bytes: bytes))
          #expect(code != .internal, "\(path) \(bytes)")
        }
      }
      _ = try await scene.status()
    }
  }

  @Test func `each bound of the protocol is checked`() async throws {
    try await CoordinatorScene.run { scene in
      let nodes = try await scene.join(3)
      var begin = ScriptedUpload.beginRequest("/a", at: scene)
      begin.chunks = 513
      #expect(await refusal(scene, CoordinatorMethods.beginUpload, begin) == .invalidArgument)
      begin = ScriptedUpload.beginRequest("/a", at: scene)
      begin.chunkSize = 65537
      #expect(await refusal(scene, CoordinatorMethods.beginUpload, begin) == .invalidArgument)
      begin = ScriptedUpload.beginRequest("/a", at: scene)
      begin.replicas = 6
      #expect(await refusal(scene, CoordinatorMethods.beginUpload, begin) == .invalidArgument)
      begin = ScriptedUpload.beginRequest("/a", at: scene)
      begin.clearRequestID()
      #expect(await refusal(scene, CoordinatorMethods.beginUpload, begin) == .invalidArgument)
      begin = ScriptedUpload.beginRequest("/", at: scene)
      #expect(await refusal(scene, CoordinatorMethods.beginUpload, begin) == .invalidArgument)
      for path in ["", "a", "/a/../b", "/a/./b", "/\0", "/" + String(repeating: "x", count: 256)] {
        var stat = WireStatRequest()
        stat.path = path
        #expect(await refusal(scene, CoordinatorMethods.stat, stat) == .invalidArgument, "\(path)")
      }

      let upload = try await ScriptedUpload("/a", at: scene, chunks: 2)
      let chunks = try upload.sealedChunks(by: nodes)
      var commit = upload.commitRequest([chunks[0], chunks[0]], at: scene)
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)
      var spoilt = chunks[0]
      spoilt.reference.root = Data([1])
      commit = upload.commitRequest([spoilt], at: scene)
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)
      spoilt = chunks[0]
      spoilt.reference.index = .max
      commit = upload.commitRequest([spoilt], at: scene)
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)
      spoilt = chunks[0]
      spoilt.receipts[0].mac = Data()
      commit = upload.commitRequest([spoilt], at: scene)
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)
      commit = upload.commitRequest(chunks, at: scene)
      commit.length = .max
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)
      commit = upload.commitRequest(chunks, at: scene)
      commit.rootKind = .UNRECOGNIZED(77)
      #expect(await refusal(scene, CoordinatorMethods.commitUpload, commit) == .invalidArgument)

      var list = WireListRequest()
      list.path = "/"
      for page in [Data([0]), Data([1]), Data([1] + [UInt8](repeating: 255, count: 20))] {
        list.page = page
        #expect(await refusal(scene, CoordinatorMethods.list, list) == .invalidArgument)
      }
      var manifest = WireGetManifestRequest()
      manifest.inode = .max
      manifest.firstChunk = .max
      #expect(await refusal(scene, CoordinatorMethods.getManifest, manifest) == .notFound)
      var report = WireReportReplicasRequest()
      report.reports = [WireReplicaReport](repeating: WireReplicaReport(), count: 1001)
      #expect(await refusal(scene, CoordinatorMethods.reportReplicas, report) == .invalidArgument)
    }
  }

  @Test func `page tokens of strangers are refused or read, and one of ours comes back as it was`() throws {
    var generator = SeededGenerator()
    print("seed \(generator.seed)")
    let ours = ListToken(after: try RemotePath("/a/b\u{300}/c"), snapshot: 0x0102_0304_0506_0708)
    let back = try ListToken(ours.bytes)
    #expect(back.after == ours.after && back.snapshot == ours.snapshot)
    for _ in 0..<2000 {
      var bytes = Array(ours.bytes)
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator))
      do { _ = try ListToken(Data(bytes)) } catch let error as DFSError {
        #expect(error.code == .invalidArgument)
      }
    }
  }

  @Test func `registrations and heartbeats of strangers are refused`() async throws {
    try await CoordinatorScene.run { scene in
      var node = ScriptedNode(1)
      let stranger = node
      #expect(throws: DFSError.self) { try Registration(WireRegisterNodeRequest()) }
      await #expect(throws: DFSError.self) { try await stranger.beat(at: scene) }
      node.address = "nowhere"
      let bad = node.registration
      #expect(await refusal(scene, CoordinatorMethods.registerNode, bad) == .invalidArgument)
      node.address = "127.0.0.1:1"
      var old = node.registration
      old.protocolLowest = 2
      old.protocolHighest = 3
      #expect(await refusal(scene, CoordinatorMethods.registerNode, old) == .failedPrecondition)
      var huge = node.registration
      huge.capacityBytes = .max
      #expect(await refusal(scene, CoordinatorMethods.registerNode, huge) == .invalidArgument)
      try await node.register(at: scene)
      var beat = node.heartbeat
      beat.freeBytes = .max
      let registered = node
      await #expect(throws: DFSError.self) { try await registered.beat(at: scene, beat) }
      try await node.beat(at: scene)
    }
  }
}
