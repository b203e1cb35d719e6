import DFSChunkStore
import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import DFSDataNode

/// The real file system, with a disk that is full or fails to sync when a test says so.
final class TroubledFileSystem: FileSystem {
  struct Trouble: Sendable {
    var free: ByteCount?
    var failsSync = false
    /// No file gives this byte back.
    var unreadable: Int?

    func check(_ range: Range<Int>) throws {
      guard let unreadable, range.contains(unreadable) else { return }
      throw DFSError(.corrupt, "an unreadable sector, for a test")
    }
  }

  let trouble = NIOLockedValueBox(Trouble())
  private let real = PosixFileSystem()

  func makeDirectory(_ path: String) throws { try real.makeDirectory(path) }
  func entries(of path: String) throws -> [String] { try real.entries(of: path) }
  func length(of path: String) throws -> Int? { try real.length(of: path) }
  func rename(_ path: String, to target: String, _ replacement: Replacement) throws {
    try real.rename(path, to: target, replacement)
  }
  func remove(_ path: String) throws { try real.remove(path) }
  func syncDirectory(_ path: String) throws { try real.syncDirectory(path) }
  func lock(_ path: String) throws -> any FileLock { try real.lock(path) }
  func space(at path: String) throws -> FileSystemSpace {
    var space = try real.space(at: path)
    if let free = trouble.withLockedValue({ $0.free }) { space.free = free }
    return space
  }
  func open(_ path: String, _ mode: OpenMode) throws -> any OpenFile {
    TroubledFile(try real.open(path, mode), trouble)
  }
}

private final class TroubledFile: OpenFile {
  private let real: any OpenFile
  private let trouble: NIOLockedValueBox<TroubledFileSystem.Trouble>

  init(_ real: any OpenFile, _ trouble: NIOLockedValueBox<TroubledFileSystem.Trouble>) {
    self.real = real
    self.trouble = trouble
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws { try real.write(bytes, at: offset) }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    try trouble.withLockedValue { $0 }.check(offset..<offset + buffer.count)
    return try real.read(into: buffer, at: offset)
  }
  func length() throws -> Int { try real.length() }
  func sync() throws {
    if trouble.withLockedValue({ $0.failsSync }) {
      throw DFSError(.outcomeUnknown, "the sync failed, for a test")
    }
    try real.sync()
  }
  func startWriteback(_ range: Range<Int>) { real.startWriteback(range) }
  func prefetch(_ range: Range<Int>) throws {
    try trouble.withLockedValue { $0 }.check(range)
    try real.prefetch(range)
  }
  func dropCached(_ range: Range<Int>) { real.dropCached(range) }
  var descriptor: Int32? { real.descriptor }
}

@Suite(.serialized, .timeLimit(.minutes(1))) struct HardshipTests {
  @Test func `a full disk refuses politely before the first byte, says so, and still deletes`() async throws {
    let disk = TroubledFileSystem()
    try await NodeCluster.with(1, fileSystem: disk) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(inode: 70, length: 1 << 20, seed: 50)
      _ = try await node.write(sample)
      disk.trouble.withLockedValue { $0.free = .mib(1) }
      let error = await #expect(throws: DFSError.self) {
        try await node.write(ChunkSample(length: 1 << 20, seed: 51))
      }
      #expect(error?.code == .exhausted)
      let told = await eventually {
        coordinator.record.withLockedValue { $0.heartbeats[node.id.rawValue].map { !$0.writable } ?? false }
      }
      #expect(told)
      #expect(try await node.read(sample) == sample.bytes)
      let removed = try await node.channel.call(
        DataNodeMethods.reapChunks,
        .with {
          $0.epoch = WireEpoch(Epoch(incarnation: 1, term: 1))
          $0.node = node.id.rawValue
          $0.chunks = [
            .with {
              $0.inode = 70
              $0.group = 7
              $0.count = 1
            }
          ]
        })
      #expect(removed.removed == 1)
    }
  }

  @Test func `a sync that fails gives no receipt and takes the disk out of use`() async throws {
    let disk = TroubledFileSystem()
    try await NodeCluster.with(1, fileSystem: disk) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let good = ChunkSample(length: 1 << 20, seed: 52)
      _ = try await node.write(good)
      disk.trouble.withLockedValue { $0.failsSync = true }
      await #expect(throws: DFSError.self) { try await node.write(ChunkSample(length: 1 << 20, seed: 53)) }
      disk.trouble.withLockedValue { $0.failsSync = false }
      let later = await #expect(throws: DFSError.self) {
        try await node.write(ChunkSample(length: 1 << 20, seed: 54))
      }
      #expect(later?.code == .unavailable)
      #expect(try await node.read(good) == good.bytes)
      let told = await eventually {
        coordinator.record.withLockedValue { $0.heartbeats[node.id.rawValue].map { !$0.writable } ?? false }
      }
      #expect(told)
    }
  }

  @Test func `a sector that can not be read makes the read fail as corrupt, and the replica is reported`()
    async throws
  {
    let disk = TroubledFileSystem()
    try await NodeCluster.with(1, fileSystem: disk) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(inode: 71, length: 6 << 20, seed: 60)
      _ = try await node.write(sample)
      // In the second window: the answer has begun by then.
      disk.trouble.withLockedValue { $0.unreadable = 5 << 20 }
      let error = await #expect(throws: DFSError.self) { try await node.read(sample) }
      #expect(error?.code == .corrupt)
      let told = await eventually {
        Set(coordinator.record.withLockedValue { $0.badReplicas.map(\.chunk.inode) }) == [71]
      }
      #expect(told)
      #expect(node.files(containing: "quarantine/").count == 1)
    }
  }

  @Test func `the head's own disk may fail: two other replicas are enough`() async throws {
    let disk = TroubledFileSystem()
    try await NodeCluster.with(2) { cluster, coordinator in
      let others = await cluster.nodes
      let head = try await cluster.start([coordinator.endpoint], fileSystem: disk)
      #expect(await head.server.joined())
      disk.trouble.withLockedValue { $0.failsSync = true }
      let sample = ChunkSample(length: 1 << 20, seed: 55)
      let result = try await head.write(sample, to: others.map(\.address))
      #expect(result.receipts.map(\.node) == others.map(\.id.rawValue))
      #expect(result.failures.map(\.node) == [head.id.rawValue])
    }
  }

  @Test func `fifty transfers at once succeed within a bounded memory`() async throws {
    try await NodeCluster.with(3, change: { $0.transferBudget = .mib(32) }) { cluster, _ in
      let nodes = await cluster.nodes
      // All clients send one sample's bytes, so that what grows is the nodes' memory.
      let sample = ChunkSample(inode: 80, length: 4 << 20, seed: 56)
      let middle = sample.pieces().map { WriteChunkPart.data($0) } + [.finish(sample.finish)]
      let before = try peakMemory()
      let receipts = try await withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<50 {
          group.addTask {
            let head = nodes[index % 3]
            var open = head.opening(of: sample, to: nodes.filter { $0.id != head.id }.map(\.address))
            open.chunk.inode = 1000 + UInt64(index)
            return try await head.send([.open(open)] + middle).receipts.count
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(receipts == Array(repeating: 3, count: 50))
      let grown = try peakMemory() - before
      // Three nodes, a frame a transfer, beside the budget for received bytes; the replicas have 600 MiB.
      #expect(grown < .mib(350), "grew by \(grown)")
    }
  }

  @Test func `more transfers than allowed are refused, not queued`() async throws {
    try await NodeCluster.with(1, change: { $0.maxTransfers = 2 }) { cluster, _ in
      let node = await cluster.nodes[0]
      let held = NIOLockedValueBox(0)
      let error = await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<2 {
          group.addTask {
            let opening = node.opening(of: ChunkSample(length: 1000, seed: UInt64(index)))
            try await node.channel.call(DataNodeMethods.writeChunk) { writer, reader in
              try await writer.write(.open(opening))
              // The first sign of life says that the transfer runs.
              if try await reader.next() != nil { held.withLockedValue { $0 += 1 } }
              while try await reader.next() != nil {}
            }
          }
        }
        defer { group.cancelAll() }
        #expect(await eventually { held.withLockedValue { $0 } == 2 })
        return await #expect(throws: DFSError.self) {
          try await node.write(ChunkSample(length: 1000, seed: 57))
        }
      }
      #expect(error?.code == .exhausted)
    }
  }

  @Test func `over mutual TLS chunks are written to three nodes and read, whole and in part`() async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("node")
    let files = TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key)
    let trust = TLSContext.Trust.authorities(file: certificates.authority)
    let server = try TLSContext(server: files, clients: trust)
    let client = try TLSContext(clientTrusting: trust, identity: files)
    let cluster = try NodeCluster(clientSecurity: client)
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops, security: server)
    for _ in 0..<3 {
      let node = try await cluster.start([coordinator.endpoint]) {
        $0.serverSecurity = server
        $0.clientSecurity = client
      }
      #expect(await node.server.joined())
    }
    let nodes = await cluster.nodes
    for length in [3000, (2 << 20) + 5] {
      let sample = ChunkSample(length: length, seed: 59)
      let receipts = try await nodes[0].receipts(for: sample, to: [nodes[1].address, nodes[2].address])
      #expect(receipts == 3)
      for node in nodes { #expect(try await node.read(sample) == sample.bytes) }
      let part = try await nodes[1].read(sample, offset: length - 1)
      #expect(part == Array(sample.bytes[((length - 1) / Block.size * Block.size)...]))
    }
    await cluster.stop(coordinator)
  }

  @Test func `garbage never stops the process`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let raw = Marshaller<ByteBuffer>(encode: { OutgoingMessage(head: $0) }, decode: { $0 })
      var random = SeededGenerator()
      let valid = try DataNodeMethods.writeChunk.request.encode(
        .data(ChunkSample(length: 70_000, seed: 1).pieces()[0]))
      for method in [
        DataNodeMethods.writeChunk.path, DataNodeMethods.readChunk.path, DataNodeMethods.statChunk.path,
        DataNodeMethods.listChunks.path, DataNodeMethods.reapChunks.path, DataNodeMethods.copyChunks.path,
        DataNodeMethods.listGroups.path, DataNodeMethods.listNodeJobs.path,
        DataNodeMethods.controlNodeJob.path, "/dfs.v1.DataNodeService/Nothing",
      ] {
        let call = BidirectionalMethod(path: method, retry: .never, request: raw, response: raw)
        for _ in 0..<25 {
          var message = ByteBuffer(bytes: random.bytes(Int.random(in: 0...200, using: &random)))
          if Bool.random(using: &random) {
            message = valid.head
            message.setInteger(
              UInt8.random(in: 0...255, using: &random),
              at: Int.random(in: 0..<message.writerIndex, using: &random))
          }
          _ = try? await node.channel.call(call, options: .init(timeout: .seconds(5))) {
            [message] writer, reader in
            try await writer.write(message)
            try await writer.write(message)
            try await writer.finish()
            while try await reader.next() != nil {}
          }
        }
      }
      let sample = ChunkSample(length: 1000, seed: 58)
      #expect(try await node.receipts(for: sample) == 1, "seed \(random.seed)")
      #expect(try await node.read(sample) == sample.bytes)
    }
  }
}

/// The most memory that the process ever had resident.
private func peakMemory() throws -> ByteCount {
  let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
  let kibibytes = try #require(Int(line.filter(\.isNumber)))
  return .kib(kibibytes)
}
