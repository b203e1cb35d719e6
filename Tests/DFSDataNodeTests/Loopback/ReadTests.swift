import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import DFSDataNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct ReadTests {
  @Test func `a range comes as the whole blocks that hold it`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      var random = SeededGenerator()
      for length in [5 * Block.size + 17, 2 << 20, 1000] {
        let sample = ChunkSample(length: length, seed: random.seed)
        _ = try await node.write(sample)
        for _ in 0..<12 {
          let offset = Int.random(in: 0..<length, using: &random)
          let count = Int.random(in: 1...length - offset, using: &random)
          let first = offset / Block.size * Block.size
          let end = min(length, (offset + count + Block.size - 1) / Block.size * Block.size)
          let got = try await node.read(
            sample, offset: offset, length: count, withoutLeaves: Bool.random(using: &random))
          #expect(
            got == Array(sample.bytes[first..<end]), "seed \(random.seed), \(offset) + \(count) of \(length)")
        }
      }
    }
  }

  @Test func `readers share what memory there is, and one that stops reading gives back what it holds`()
    async throws
  {
    try await NodeCluster.with(1, change: { $0.transferBudget = .mib(4) }) { cluster, _ in
      let node = await cluster.nodes[0]
      let memory = try #require(node.server.node?.service.readMemory)
      let all = memory.available
      #expect(all == 2 << 20)
      let samples = (0..<6).map { ChunkSample(length: (3 << 20) + 5 * $0, seed: 30 + UInt64($0)) }
      let long = ChunkSample(length: 20 << 20, seed: 29)
      for sample in samples + [long] { _ = try await node.write(sample) }
      let stalled = Task { try await node.beginReading(long) }
      #expect(await eventually { memory.available < all })
      // Each is read past the page cache as far as memory is left, and out of it where none is.
      for _ in 0..<2 {
        try await withThrowingTaskGroup(of: Bool.self) { group in
          for sample in samples { group.addTask { try await node.read(sample) == sample.bytes } }
          for try await isRight in group { #expect(isRight) }
        }
      }
      #expect(memory.available < all)
      stalled.cancel()
      _ = await stalled.result
      #expect(await eventually { memory.available == all })
    }
  }

  @Test func `a range outside of the chunk, an unknown chunk and another node's are refused`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 300_000, seed: 20)
      _ = try await node.write(sample)
      for (offset, length) in [(300_000, 0), (299_999, 2), (0, 300_001), (Int(UInt32.max), Int(UInt32.max))] {
        let error = await #expect(throws: DFSError.self) {
          try await node.read(sample, offset: offset, length: length)
        }
        #expect(error?.code == .invalidArgument)
      }
      let unknown = await #expect(throws: DFSError.self) {
        try await node.read(ChunkSample(length: 5, seed: 21))
      }
      #expect(unknown?.code == .notFound)
    }
  }

  @Test func `a reader that expects another root is told at once, and the replica stays`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 300_000, seed: 22)
      _ = try await node.write(sample)
      let error = await #expect(throws: DFSError.self) {
        try await node.read(sample, root: ChunkSample(length: 5, seed: 1).root)
      }
      #expect(error?.code == .corrupt)
      #expect(try await node.read(sample) == sample.bytes)
      #expect(coordinator.record.withLockedValue { $0.badReplicas.isEmpty })
    }
  }

  @Test func `a flipped byte is found by verification, moved aside and reported`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 1 << 20, seed: 23)
      _ = try await node.write(sample)
      let file = try #require(node.files(containing: "chunks/").first)
      try flipByte(of: "\(node.directory)/\(file)", at: 700_000)

      let error = await #expect(throws: DFSError.self) { try await node.stat(sample, verify: true) }
      #expect(error?.code == .corrupt)
      #expect(await eventually { coordinator.record.withLockedValue { !$0.badReplicas.isEmpty } })
      let report = try #require(coordinator.record.withLockedValue { $0.badReplicas.first })
      #expect(report.chunk == WireChunkId(sample.chunk))
      #expect(report.fault == .corrupt)
      let gone = await #expect(throws: DFSError.self) { try await node.read(sample) }
      #expect(gone?.code == .notFound)
      // Its place may be filled again.
      #expect(try await node.receipts(for: sample) == 1)
      #expect(try await node.read(sample) == sample.bytes)
    }
  }

  @Test func `a flipped byte never comes out as good`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 1 << 20, seed: 24)
      _ = try await node.write(sample)
      let file = try #require(node.files(containing: "chunks/").first)
      try flipByte(of: "\(node.directory)/\(file)", at: 10)
      let error = await #expect(throws: DFSError.self) { try await node.read(sample) }
      #expect(error?.code == .corrupt)
    }
  }

  @Test func `a node started again serves what it had, under the same id`() async throws {
    let cluster = try NodeCluster()
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops)
    let first = try await cluster.start([coordinator.endpoint])
    #expect(await first.server.joined())
    let samples = [ChunkSample(length: 1000, seed: 25), ChunkSample(length: 1 << 20, seed: 26)]
    for sample in samples { _ = try await first.write(sample) }
    await first.kill()
    let second = try await cluster.start([coordinator.endpoint], in: first.directory)
    #expect(second.id == first.id)
    for sample in samples { #expect(try await second.read(sample) == sample.bytes) }
    await cluster.stop(coordinator)
  }

  @Test func `a reader that goes away in the middle leaves nothing open`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 8 << 20, seed: 27)
      _ = try await node.write(sample)
      let before = try openDescriptors()
      for _ in 0..<60 {
        try await node.channel.call(
          DataNodeMethods.readChunk,
          .with {
            $0.chunk = WireChunkId(sample.chunk)
            $0.group = 7
            $0.node = node.id.rawValue
          }
        ) { reader in
          _ = try await reader.next()
          _ = try await reader.next()
        }
      }
      #expect(await eventually { (try? openDescriptors()) ?? .max <= before + 6 })
    }
  }
}

private func openDescriptors() throws -> Int {
  try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
}

private func flipByte(of path: String, at offset: Int) throws {
  let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
  defer { try? handle.close() }
  try handle.seek(toOffset: UInt64(offset))
  let byte = try #require(try handle.read(upToCount: 1)?.first)
  try handle.seek(toOffset: UInt64(offset))
  try handle.write(contentsOf: [byte ^ 0x10])
}
