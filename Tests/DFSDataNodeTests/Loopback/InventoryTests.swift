import DFSCore
import DFSRPC
import DFSWire
import NIOConcurrencyHelpers
import NIOCore
import Testing

@testable import DFSDataNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct InventoryTests {
  private static func reap(
    _ node: NodeCluster.Node, _ runs: [(inode: UInt64, first: UInt32, count: UInt32)], term: UInt64 = 1
  ) async throws -> WireReapChunksResponse {
    try await node.channel.call(
      DataNodeMethods.reapChunks,
      .with {
        $0.epoch = WireEpoch(Epoch(incarnation: 1, term: term))
        $0.node = node.id.rawValue
        $0.chunks = runs.map { run in
          .with {
            $0.inode = run.inode
            $0.group = 7
            $0.firstIndex = run.first
            $0.count = run.count
          }
        }
      })
  }

  private static func removed(
    _ node: NodeCluster.Node, _ runs: [(inode: UInt64, first: UInt32, count: UInt32)], term: UInt64 = 1
  ) async throws -> UInt64 {
    try await reap(node, runs, term: term).removed
  }

  @Test func `an inventory comes in pages, in order of id`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let samples = (0..<7).map {
        ChunkSample(inode: 40 + UInt64($0 % 3), index: UInt32($0), length: $0 == 4 ? 400_000 : 900, seed: 30)
      }
      for sample in samples { _ = try await node.write(sample) }
      var found: [ChunkID] = []
      var more = true
      while more {
        let page = try await node.channel.call(
          DataNodeMethods.listChunks,
          .with {
            $0.group = 7
            $0.pageSize = 3
            if let last = found.last { $0.after = WireChunkId(last) }
          })
        #expect(page.chunks.count <= 3)
        found += page.chunks.map { ChunkID($0.chunk) }
        more = page.more
      }
      #expect(found == samples.map(\.chunk).sorted())
      let other = try await node.channel.call(DataNodeMethods.listChunks, .with { $0.group = 8 })
      #expect(other.chunks.isEmpty && !other.more)
    }
  }

  @Test func `reaped chunks are gone, large and small, and a second order changes nothing`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let large = ChunkSample(inode: 50, index: 0, length: 1 << 20, seed: 31)
      let small = ChunkSample(inode: 50, index: 1, length: 2000, seed: 32)
      let kept = ChunkSample(inode: 51, index: 1, length: 2000, seed: 33)
      for sample in [large, small, kept] { _ = try await node.write(sample) }
      let first = try await Self.reap(node, [(50, 0, 3)])
      #expect(first.removed == 2)
      #expect(first.removedBytes >= 1 << 20)
      #expect(try await Self.removed(node, [(50, 0, 3)]) == 0)
      await #expect(throws: DFSError.self) { try await node.stat(large) }
      await #expect(throws: DFSError.self) { try await node.stat(small) }
      #expect(try await node.read(kept) == kept.bytes)
      #expect(node.files(containing: "chunks/").isEmpty)
    }
  }

  @Test func `an order of an earlier epoch is refused, also after a restart`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(inode: 60, length: 2000, seed: 34)
      _ = try await node.write(sample)
      #expect(try await Self.removed(node, [], term: 5) == 0)
      let error = await #expect(throws: DFSError.self) { try await Self.reap(node, [(60, 0, 1)], term: 4) }
      #expect(error?.code == .stale)
      await node.kill()
      let again = try await cluster.start([coordinator.endpoint], in: node.directory)
      let later = await #expect(throws: DFSError.self) { try await Self.reap(again, [(60, 0, 1)], term: 4) }
      #expect(later?.code == .stale)
      #expect(try await again.read(sample) == sample.bytes)
    }
  }

  @Test func `an order that names too many chunks is refused`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      for runs: [(UInt64, UInt32, UInt32)] in [
        [(1, 0, 10_001)], [(1, UInt32.max, 2)], [(1, 0, UInt32.max), (2, 0, UInt32.max)],
      ] {
        let error = await #expect(throws: DFSError.self) { try await Self.reap(node, runs) }
        #expect(error?.code == .invalidArgument)
      }
    }
  }
}
