import DFSCore
import DFSCrypto
import Foundation
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSClient

/// The client over real sockets against servers that fail to order.
@Suite(.serialized) struct LoopbackTests {
  private func withCluster(
    nodes: Int = 3, chunkSize: Int = 256 << 10, configure: (inout ClientConfiguration) -> Void = { _ in },
    _ body: (LoopbackCluster, DFSClient) async throws -> Void
  ) async throws {
    let cluster = try await LoopbackCluster(nodes: nodes, chunkSize: chunkSize)
    let client = try cluster.client(configure)
    do {
      try await body(cluster, client)
      await client.close()
      await cluster.stop()
    } catch {
      await client.close()
      await cluster.stop()
      throw error
    }
  }

  private var path: RemotePath { get throws { try RemotePath("/file") } }

  private func bytes(_ count: Int) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(count))
    return random.bytes(count)
  }

  @Test(arguments: [0, 1, 4096, 4097, 65_536, 262_144, 262_145, 3_000_001])
  func `bytes of any length come back as they went in`(length: Int) async throws {
    try await withCluster { cluster, client in
      let bytes = bytes(length)
      let receipt = try await client.upload(bytes: bytes, to: try path)
      #expect(
        receipt.attributes.root == MerkleTree.root(of: bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) }))
      #expect(try await client.read(try path) == bytes)
      if length <= 4096 { #expect(cluster.calls("begin") == 0 && cluster.calls("putInline") == 1) }
      if (4097...262_144).contains(length) {
        #expect(cluster.calls("begin") == 1 && cluster.calls("write") == 1 && cluster.calls("commit") == 1)
        #expect(cluster.calls("seal") == 0 && cluster.calls("allocate") == 0)
      }
      #expect(receipt.replicas == 3)
    }
  }

  @Test func `a file keeps its mode and time, and appears only when it is complete`() async throws {
    try await withCluster { _, client in
      let directory = try TemporaryDirectory()
      let source = directory.path + "/source"
      let bytes = bytes(1_000_000)
      #expect(
        FileManager.default.createFile(
          atPath: source, contents: Data(bytes), attributes: [.posixPermissions: 0o640]))
      try await client.upload(file: source, to: try path)
      try await client.download(try path, to: directory.path + "/target")
      let (before, after) = (
        try LocalFile(reading: source).state(), try LocalFile(reading: directory.path + "/target").state()
      )
      #expect(before.mode == after.mode && before.modified == after.modified && after.length == 1_000_000)
      #expect(FileManager.default.contents(atPath: directory.path + "/target") == Data(bytes))
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == ["source", "target"])
    }
  }

  @Test(arguments: [0..<0, 0..<1, 65_535..<65_537, 262_143..<600_000, 100..<100_000_000])
  func `a range is exactly the range`(range: Range<Int64>) async throws {
    try await withCluster { _, client in
      let bytes = bytes(1_000_000)
      try await client.upload(bytes: bytes, to: try path)
      let wanted = range.clamped(to: 0..<1_000_000)
      #expect(
        try await client.read(try path, range: range).elementsEqual(
          bytes[Int(wanted.lowerBound)..<Int(wanted.upperBound)]))
    }
  }

  @Test func `what the reader of a content throws comes out as it is, and may come early`() async throws {
    struct Enough: Error {}
    try await withCluster { _, client in
      try await client.upload(bytes: bytes(2_000_000), to: try path)
      await #expect(throws: Enough.self) {
        try await client.withContent(of: try path) { content in
          for try await _ in content { throw Enough() }
        }
      }
      let first = try await client.withContent(of: try path) { content in
        for try await piece in content { return piece.count }
        return 0
      }
      #expect(first > 0)
    }
  }

  @Test func `a sequence of unknown length is stored, also when memory holds less than a chunk`() async throws
  {
    try await withCluster(configure: { $0.memoryBudget = .kib(300) }) { _, client in
      let bytes = bytes(2_000_000)
      let stream = AsyncStream<[UInt8]> { continuation in
        for start in stride(from: 0, to: bytes.count, by: 33_333) {
          continuation.yield(Array(bytes[start..<min(bytes.count, start + 33_333)]))
        }
        continuation.finish()
      }
      try await client.upload(stream: stream, to: try path)
      #expect(try await client.read(try path) == bytes)
    }
  }

  @Test func `a sequence that fails stores nothing and its error comes out`() async throws {
    try await withCluster { cluster, client in
      let stream = AsyncThrowingStream<[UInt8], any Error> { continuation in
        continuation.yield(bytes(600_000))
        continuation.finish(throwing: DFSError(.permissionDenied, "no more of this"))
      }
      let error = await #expect(throws: DFSError.self) {
        try await client.upload(stream: stream, to: try path)
      }
      #expect(error?.code == .permissionDenied)
      #expect(cluster.state.withLockedValue { $0.files.isEmpty && $0.aborted.count == 1 })
    }
  }

  @Test func `a read that stops in the middle of a chunk goes on at the next replica`() async throws {
    try await withCluster(chunkSize: 1 << 20) { cluster, client in
      let bytes = bytes(3_000_000)
      try await client.upload(bytes: bytes, to: try path)
      cluster.state.withLockedValue { $0.faults[1] = .init(failsReadAfter: 5) }
      cluster.state.withLockedValue { $0.faults[2] = .init(failsReadAfter: 3) }
      #expect(try await client.read(try path) == bytes)
    }
  }

  @Test func `a bad replica is replaced by a good one and reported`() async throws {
    try await withCluster { cluster, client in
      let bytes = bytes(1_000_000)
      try await client.upload(bytes: bytes, to: try path)
      cluster.state.withLockedValue { $0.faults[2] = .init(sendsGarbage: true) }
      #expect(try await client.read(try path) == bytes)
      let reports = cluster.state.withLockedValue { $0.reports }
      #expect(!reports.isEmpty && reports.allSatisfy { $0.node == 2 && $0.fault == .corrupt })
    }
  }

  @Test
  func `bytes that are bad everywhere are an error that names file and chunk, and leave nothing behind`()
    async throws
  {
    try await withCluster { cluster, client in
      try await client.upload(bytes: bytes(1_000_000), to: try path)
      for node in cluster.nodeIDs {
        cluster.state.withLockedValue { $0.faults[node] = .init(sendsGarbage: true) }
      }
      let directory = try TemporaryDirectory()
      let error = await #expect(throws: DFSError.self) {
        try await client.download(try path, to: directory.path + "/x")
      }
      #expect(
        error?.code == .corrupt && error?.metadata["path"] == "/file" && error?.metadata["chunk"] != nil)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }
  }

  @Test func `a silent node is hedged around and given up`() async throws {
    try await withCluster { cluster, client in
      let bytes = bytes(2_000_000)
      try await client.upload(bytes: bytes, to: try path)
      cluster.state.withLockedValue { $0.faults[1] = .init(isSilent: true) }
      #expect(try await client.read(try path) == bytes)
    }
  }

  @Test func `a primary that fails or is silent is replaced and the file is whole`() async throws {
    for fault in [LoopbackCluster.Faults(failsWriteAfter: 1), .init(isSilent: true), .init(staleWrites: 2)] {
      try await withCluster(chunkSize: 1 << 20) { cluster, client in
        cluster.state.withLockedValue { $0.faults[2] = fault }
        let bytes = bytes(5_000_000)
        let receipt = try await client.upload(bytes: bytes, to: try path)
        #expect(receipt.rewrittenChunks > 0)
        cluster.state.withLockedValue { $0.faults = [:] }
        #expect(try await client.read(try path) == bytes)
      }
    }
  }

  @Test func `with too few nodes a put fails clearly and leaves nothing`() async throws {
    try await withCluster(configure: { $0.patience = .seconds(2) }) { cluster, client in
      for node in [UInt64(1), 2] {
        cluster.state.withLockedValue { $0.faults[node] = .init(failsWriteAfter: 0) }
      }
      let error = await #expect(throws: DFSError.self) {
        try await client.upload(bytes: bytes(500_000), to: try path)
      }
      #expect(error?.code == .unavailable)
      #expect(cluster.state.withLockedValue { $0.files.isEmpty && $0.aborted.count == 1 })
    }
  }

  @Test func `chunks that the commit rejects are sent again, from a stream too`() async throws {
    try await withCluster { cluster, client in
      let bytes = bytes(1_000_000)
      cluster.state.withLockedValue { $0.rejectOnce = [0, 2] }
      try await client.upload(bytes: bytes, to: try path)
      #expect(try await client.read(try path) == bytes)
      cluster.state.withLockedValue { $0.rejectOnce = [0, 3] }
      try await client.upload(
        stream: AsyncStream<[UInt8]> { continuation in
          continuation.yield(bytes)
          continuation.finish()
        }, to: try path)
      #expect(try await client.read(try path) == bytes)
      #expect(cluster.calls("commit") == 4)
    }
  }

  @Test func `a commit waits for the copies of sealed chunks, and fails clearly when they do not come`()
    async throws
  {
    try await withCluster { cluster, client in
      let bytes = bytes(1_000_000)
      cluster.state.withLockedValue { $0.delayedCommits = 2 }
      try await client.upload(bytes: bytes, to: try path)
      #expect(try await client.read(try path) == bytes && cluster.calls("commit") == 3)
    }
    try await withCluster(configure: { $0.patience = .seconds(1) }) { cluster, client in
      cluster.state.withLockedValue { $0.delayedCommits = 1000 }
      let error = await #expect(throws: DFSError.self) {
        try await client.upload(bytes: bytes(1_000_000), to: try path)
      }
      #expect(error?.code == .stale && error?.message.contains("put the file again") == true)
      #expect(cluster.state.withLockedValue { $0.files.isEmpty && $0.aborted.count == 1 })
    }
  }

  @Test func `an unknown outcome is settled by the same request`() async throws {
    try await withCluster { cluster, client in
      cluster.state.withLockedValue { $0.unknownAnswers = 1 }
      let bytes = bytes(300_000)
      try await client.upload(bytes: bytes, to: try path)
      #expect(try await client.read(try path) == bytes)
    }
  }

  @Test func `what stays unknown is reported as unknown`() async throws {
    try await withCluster(configure: { $0.patience = .seconds(1) }) { cluster, client in
      cluster.state.withLockedValue { $0.unknownAnswers = 1000 }
      let error = await #expect(throws: DFSError.self) { try await client.upload(bytes: [1], to: try path) }
      #expect(error?.code == .outcomeUnknown)
    }
  }

  @Test func `a manifest of several pages is read as far as needed`() async throws {
    try await withCluster(chunkSize: 65_536) { cluster, client in
      let chunk = bytes(65_536)
      try cluster.install("/file", repeating: chunk, count: 3000)
      let tail = Int64(65_536 * 2999)
      #expect(try await client.read(try path, range: tail..<Int64.max) == chunk)
      #expect(cluster.calls("manifest") == 1)
      let seam = Int64(65_536 * 1024)
      #expect(try await client.read(try path, range: seam - 1..<seam + 1) == [chunk[65_535], chunk[0]])
    }
  }

  @Test func `a cancelled upload is aborted`() async throws {
    try await withCluster(configure: { $0.writeStallTimeout = .seconds(30) }) { cluster, client in
      for node in cluster.nodeIDs {
        cluster.state.withLockedValue { $0.faults[node] = .init(isSilent: true) }
      }
      let task = Task { try await client.upload(bytes: bytes(500_000), to: try path) }
      while cluster.calls("write") == 0 { try await Task.sleep(for: .milliseconds(5)) }
      task.cancel()
      let error = await #expect(throws: DFSError.self) { try await task.value }
      #expect(error?.code == .cancelled && cluster.state.withLockedValue { $0.aborted.count } == 1)
    }
  }

  @Test func `without a coordinator the error says where it was looked for and what to do`() async throws {
    var configuration = ClientConfiguration()
    configuration.connectTimeout = .milliseconds(500)
    let client = try DFSClient.connect(
      coordinators: [Endpoint(host: "127.0.0.1", port: 1)], configuration: configuration)
    let error = await #expect(throws: DFSError.self) { try await client.stat(.root) }
    #expect(error?.code == .unavailable && error?.message.contains("127.0.0.1:1") == true)
    await client.close()
  }
}
