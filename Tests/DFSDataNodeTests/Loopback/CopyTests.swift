import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import DFSDataNode

extension NodeCluster.Node {
  /// Orders copies of `samples` on this node, as the coordinator does.
  func copy(
    _ samples: [ChunkSample], from sources: [WireNodeAddress], root: Digest? = nil, term: UInt64 = 1,
    groupEpoch: UInt64 = 1
  ) async throws -> [WireCopyChunksResponse] {
    let request = WireCopyChunksRequest.with {
      $0.epoch = WireEpoch(Epoch(incarnation: 1, term: term))
      $0.node = id.rawValue
      $0.group = 7
      $0.groupEpoch = groupEpoch
      $0.sources = sources
      $0.chunks = samples.map { sample in
        .with {
          $0.chunk = WireChunkId(sample.chunk)
          $0.length = UInt32(sample.bytes.count)
          $0.root = (root ?? sample.root).wire
          $0.sources = sources.indices.map { UInt32($0) }
        }
      }
    }
    return try await channel.call(
      DataNodeMethods.copyChunks, request, options: .init(timeout: .seconds(30), waitForReady: true)
    ) { reader in
      var answers: [WireCopyChunksResponse] = []
      while let answer = try await reader.next() { answers.append(answer) }
      return answers
    }
  }

  /// The file that a sample over 256 KiB lies in.
  func file(of sample: ChunkSample) throws -> String {
    let inode = String(sample.chunk.inode.rawValue, radix: 16)
    let index = String(sample.chunk.index, radix: 16)
    let found = files(containing: "chunks/00000007/").filter {
      $0.contains("\(inode).") && $0.hasSuffix("0\(index)")
    }
    return "\(directory)/\(try #require(found.first))"
  }

  /// Flips a byte of a chunk file, on the disk.
  func flip(_ sample: ChunkSample, at offset: Int) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file(of: sample)))
    try handle.seek(toOffset: UInt64(offset))
    let byte = try #require(try handle.read(upToCount: 1)?.first)
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: [byte ^ 0x20])
    try handle.close()
  }
}

@Suite(.serialized, .timeLimit(.minutes(1))) struct CopyTests {
  @Test func `chunks large and small are copied, durable and verified, and a second order copies nothing`()
    async throws
  {
    try await NodeCluster.with(2) { cluster, _ in
      let (source, target) = (await cluster.nodes[0], await cluster.nodes[1])
      let samples = [100, 70_000, (1 << 20) + 5, 3 << 20].enumerated().map {
        ChunkSample(inode: 90, index: UInt32($0.offset), length: $0.element, seed: 60 + UInt64($0.offset))
      }
      for sample in samples { _ = try await source.write(sample) }
      let first = try await target.copy(samples, from: [source.address])
      #expect(first.allSatisfy { $0.reason.isEmpty && $0.badSources.isEmpty }, "\(first)")
      #expect(Set(first.map { ChunkID($0.chunk) }) == Set(samples.map(\.chunk)))
      #expect(first.reduce(0) { $0 + Int($1.copiedBytes) } == samples.reduce(0) { $0 + $1.bytes.count })
      for sample in samples {
        #expect(try await target.read(sample) == sample.bytes)
        _ = try await target.stat(sample, verify: true)
      }
      let second = try await target.copy(samples, from: [source.address])
      #expect(second.count == 4 && second.allSatisfy { $0.reason.isEmpty && $0.copiedBytes == 0 })
      #expect(target.files(containing: "incoming/").isEmpty)
    }
  }

  @Test func `a bad source is left in the middle of a chunk for a good one, and told of`() async throws {
    try await NodeCluster.with(4) { cluster, coordinator in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 4 << 20, seed: 70)
      for node in [nodes[0], nodes[1]] { _ = try await node.write(sample) }
      // The rot begins in the third MiB; node 2 has nothing at all.
      try nodes[0].flip(sample, at: (2 << 20) + 77)
      let answers = try await nodes[3].copy(
        [sample], from: [nodes[0].address, nodes[2].address, nodes[1].address])
      #expect(answers.map(\.reason) == [""])
      #expect(answers[0].badSources == [nodes[0].id.rawValue, nodes[2].id.rawValue])
      #expect(answers[0].copiedBytes == 4 << 20)
      #expect(try await nodes[3].read(sample) == sample.bytes)
    }
  }

  @Test func `with bad sources only, the chunk fails by itself and leaves nothing behind`() async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      let rotten = ChunkSample(inode: 91, index: 0, length: 1 << 20, seed: 71)
      let good = ChunkSample(inode: 91, index: 1, length: 1 << 20, seed: 72)
      let lost = ChunkSample(inode: 91, index: 2, length: 1 << 20, seed: 73)
      for node in [nodes[0], nodes[1]] {
        _ = try await node.write(rotten)
        _ = try await node.write(good)
        try node.flip(rotten, at: 5)
      }
      let answers = try await nodes[2].copy([rotten, good, lost], from: nodes.prefix(2).map(\.address))
      let reasons = Dictionary(uniqueKeysWithValues: answers.map { ($0.chunk.index, $0.reason) })
      #expect(reasons == [0: "CORRUPT", 1: "", 2: "NOT_FOUND"])
      #expect(answers.first { $0.chunk.index == 0 }?.badSources.count == 2)
      #expect(try await nodes[2].read(good) == good.bytes)
      await #expect(throws: DFSError.self) { try await nodes[2].stat(rotten) }
      #expect(nodes[2].files(containing: "incoming/").isEmpty)
    }
  }

  @Test func `a source with another root is refused, and another content here gives way to the right one`()
    async throws
  {
    try await NodeCluster.with(2) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(inode: 92, length: 400_000, seed: 74)
      let other = ChunkSample(inode: 92, length: 400_000, seed: 75)
      _ = try await nodes[0].write(sample)
      let refused = try await nodes[1].copy([sample], from: [nodes[0].address], root: other.root)
      #expect(refused.map(\.reason) == ["CORRUPT"])
      #expect(refused[0].badSources == [nodes[0].id.rawValue])
      // The source's replica is sound and stays.
      #expect(try await nodes[0].read(sample) == sample.bytes)

      _ = try await nodes[1].write(other)
      let vain = try await nodes[1].copy([sample], from: [nodes[1].address])
      #expect(vain.map(\.reason) == ["CORRUPT"])
      #expect(try await nodes[1].read(other) == other.bytes, "it stays while nobody has the right one")
      #expect(nodes[1].files(containing: "quarantine/").isEmpty)
      let replaced = try await nodes[1].copy([sample], from: [nodes[0].address])
      #expect(replaced.map(\.reason) == [""])
      #expect(try await nodes[1].read(sample) == sample.bytes)
      #expect(nodes[1].files(containing: "quarantine/").count == 1, "it is kept aside")
      // When what stands in the way is damaged, it gives way at once.
      try nodes[1].flip(sample, at: 70_000)
      let again = try await nodes[1].copy([sample], from: [nodes[0].address], root: sample.root)
      #expect(again.map(\.reason) == [""])
    }
  }

  @Test func `a source out of reach is no bad source`() async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 600_000, seed: 76)
      _ = try await nodes[1].write(sample)
      await nodes[0].kill()
      let answers = try await nodes[2].copy([sample], from: [nodes[0].address, nodes[1].address])
      #expect(answers.map(\.reason) == [""])
      #expect(answers[0].badSources.isEmpty)
      let nobody = try await nodes[2].copy(
        [ChunkSample(length: 600_000, seed: 77)], from: [nodes[0].address])
      #expect(nobody.map(\.reason) == ["UNAVAILABLE"])
    }
  }

  @Test func `an order of another coordinator, another node or an earlier group is refused`() async throws {
    try await NodeCluster.with(2) { cluster, coordinator in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 1000, seed: 78)
      _ = try await nodes[0].write(sample)
      func code(_ body: () async throws -> Void) async -> DFSError.Code? {
        await #expect(throws: DFSError.self) { try await body() }?.code
      }
      #expect(
        await code { _ = try await nodes[1].copy([sample], from: [nodes[0].address], term: 0) } == .stale)
      #expect(
        await code { _ = try await nodes[1].copy([sample], from: [nodes[0].address], term: 2) }
          == .unavailable)
      _ = try await nodes[1].copy([], from: [], groupEpoch: 5)
      #expect(
        await code { _ = try await nodes[1].copy([sample], from: [nodes[0].address], groupEpoch: 4) }
          == .stale)
      #expect(await code { _ = try await nodes[1].receipts(for: sample, epoch: 4) } == .stale)
      var request = WireCopyChunksRequest()
      request.node = nodes[0].id.rawValue
      #expect(
        await code {
          try await nodes[1].channel.call(DataNodeMethods.copyChunks, request) { reader in
            while try await reader.next() != nil {}
          }
        } == .stale)
      await #expect(throws: DFSError.self) { try await nodes[1].stat(sample) }
      // The epoch of the group outlives the process.
      await nodes[1].kill()
      let again = try await cluster.start([coordinator.endpoint], in: nodes[1].directory)
      #expect(
        await code { _ = try await again.copy([sample], from: [nodes[0].address], groupEpoch: 4) } == .stale)
    }
  }

  @Test func `a full disk fails each chunk politely`() async throws {
    let disk = TroubledFileSystem()
    try await NodeCluster.with(1) { cluster, coordinator in
      let source = await cluster.nodes[0]
      let samples = (0..<3).map { ChunkSample(inode: 93, index: $0, length: 1 << 20, seed: 79) }
      for sample in samples { _ = try await source.write(sample) }
      let target = try await cluster.start([coordinator.endpoint], fileSystem: disk)
      #expect(await target.server.joined())
      disk.trouble.withLockedValue { $0.free = .mib(1) }
      let answers = try await target.copy(samples, from: [source.address])
      #expect(answers.map(\.reason) == ["EXHAUSTED", "EXHAUSTED", "EXHAUSTED"])
      #expect(answers.allSatisfy { $0.badSources.isEmpty })
      disk.trouble.withLockedValue { $0.free = nil }
      let after = try await target.copy(samples, from: [source.address])
      #expect(after.allSatisfy { $0.reason.isEmpty })
    }
  }

  @Test func `a call that is cancelled leaves nothing half done, and can be given again`() async throws {
    // Slow enough to be met in the middle.
    try await NodeCluster.with(2, change: { $0.repairRate = .mib(2) }) { cluster, _ in
      let (source, target) = (await cluster.nodes[0], await cluster.nodes[1])
      let samples = (0..<6).map { ChunkSample(inode: 94, index: $0, length: 4 << 20, seed: 80) }
      for sample in samples { _ = try await source.write(sample) }
      let call = Task { try await target.copy(samples, from: [source.address]) }
      #expect(await eventually { !target.files(containing: "incoming/").isEmpty })
      call.cancel()
      await #expect(throws: (any Error).self) { try await call.value }
      #expect(await eventually { target.files(containing: "incoming/").isEmpty })
    }
  }
}
