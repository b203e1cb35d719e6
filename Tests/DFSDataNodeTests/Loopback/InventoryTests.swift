import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import Testing

@testable import DFSDataNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct InventoryTests {
  private static func reap(
    _ node: NodeCluster.Node, _ runs: [(inode: UInt64, first: UInt32, count: UInt32)], term: UInt64 = 1,
    groupEpoch: UInt64 = 0
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
            $0.groupEpoch = groupEpoch
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

  @Test func `an inventory goes on behind files that vanished, and they are reported`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let first = await cluster.nodes[0]
      let samples = (0..<6).map { ChunkSample(inode: 45, index: $0, length: 300_000, seed: 30) }
      for sample in samples { _ = try await first.write(sample) }
      await first.stop()
      let node = try await cluster.start([coordinator.endpoint], in: first.directory)
      #expect(await node.server.joined())
      // Jobs that walk through the group after a start would end its listing, and a new one knows of no loss.
      let isQuiet = await eventually {
        let jobs = node.server.jobs.filter { ["check_files", "scrub"].contains($0.name) }
        return jobs.allSatisfy { !$0.isWorking && $0.steps >= ($0.name == "check_files" ? 2 : 1) }
      }
      #expect(isQuiet)
      func page(after index: UInt32?) async throws -> WireListChunksResponse {
        try await node.channel.call(
          DataNodeMethods.listChunks,
          .with {
            $0.group = 7
            $0.pageSize = 2
            if let index { $0.after = WireChunkId(samples[Int(index)].chunk) }
          })
      }
      #expect(try await page(after: nil).chunks.map(\.chunk.index) == [0, 1])
      for sample in samples[2...3] { try FileManager.default.removeItem(atPath: node.file(of: sample)) }
      #expect(try await page(after: 1).chunks.map(\.chunk.index) == [4, 5])
      let told = await eventually {
        coordinator.record.withLockedValue { Set($0.badReplicas.map(\.chunk.index)) } == [2, 3]
      }
      #expect(told)
      #expect(coordinator.record.withLockedValue { $0.badReplicas.allSatisfy { $0.fault == .missing } })
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

  @Test func `an order to reap as no member is refused once the group is further`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let samples = (0..<2 as Range<UInt32>).map { ChunkSample(inode: 52, index: $0, length: 2000, seed: 39) }
      for sample in samples { _ = try await node.write(sample) }
      func list(at epoch: UInt64) async throws -> Int {
        try await node.channel.call(
          DataNodeMethods.listChunks,
          .with {
            $0.epoch = WireEpoch(Epoch(incarnation: 1, term: 1))
            $0.group = 7
            $0.groupEpoch = epoch
          }
        ).chunks.count
      }
      #expect(try await list(at: 4) == 2)
      #expect(try await Self.reap(node, [(52, 0, 1)], groupEpoch: 4).removed == 1)
      // It became a member, and what it has counts.
      #expect(try await list(at: 5) == 1)
      let error = await #expect(throws: DFSError.self) {
        try await Self.reap(node, [(52, 1, 1)], groupEpoch: 4)
      }
      #expect(error?.code == .stale)
      #expect(try await node.read(samples[1]) == samples[1].bytes)
    }
  }

  @Test func `an order of an earlier epoch is refused, also after a restart; of a later one, until it is heard`()
    async throws
  {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(inode: 60, length: 2000, seed: 34)
      _ = try await node.write(sample)
      // Whoever calls can name any epoch; the node listens to the coordinator that it registered with.
      let early = await #expect(throws: DFSError.self) { try await Self.reap(node, [(60, 0, 1)], term: 5) }
      #expect(early?.code == .unavailable)
      coordinator.script.withLockedValue { $0.epoch = Epoch(incarnation: 1, term: 5) }
      #expect(await eventually { (try? await Self.removed(node, [], term: 5)) == 0 })
      let error = await #expect(throws: DFSError.self) { try await Self.reap(node, [(60, 0, 1)], term: 4) }
      #expect(error?.code == .stale)
      await node.kill()
      let again = try await cluster.start([coordinator.endpoint], in: node.directory)
      let later = await #expect(throws: DFSError.self) { try await Self.reap(again, [(60, 0, 1)], term: 4) }
      #expect(later?.code == .stale)
      #expect(try await again.read(sample) == sample.bytes)
    }
  }

  @Test func `an inventory that is an order makes the group's epoch durable and verifies when told to`()
    async throws
  {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let samples = (0..<4).map { ChunkSample(inode: 61, index: $0, length: 300_000, seed: 35) }
      for sample in samples { _ = try await node.write(sample) }
      try node.flip(samples[0], at: 123)
      func list(_ change: (inout WireListChunksRequest) -> Void) async throws -> WireListChunksResponse {
        var request = WireListChunksRequest()
        request.group = 7
        change(&request)
        return try await node.channel.call(DataNodeMethods.listChunks, request)
      }
      let stranger = await #expect(throws: DFSError.self) { _ = try await list { $0.node = 99 } }
      #expect(stranger?.code == .stale)
      let all = try await list {
        $0.epoch = WireEpoch(Epoch(incarnation: 1, term: 1))
        $0.groupEpoch = 3
        $0.node = node.id.rawValue
      }
      #expect(all.chunks.count == 4 && !all.more)
      let late = await #expect(throws: DFSError.self) {
        try await node.write(ChunkSample(length: 10, seed: 36), epoch: 2)
      }
      #expect(late?.code == .stale)
      let old = await #expect(throws: DFSError.self) {
        _ = try await list {
          $0.epoch = WireEpoch(Epoch(incarnation: 1, term: 1))
          $0.groupEpoch = 2
        }
      }
      #expect(old?.code == .stale)
      let page = try await list {
        $0.verify = true
        $0.pageSize = 2
      }
      #expect(page.chunks.map(\.chunk.index) == [1, 2] && page.more)
      #expect(node.files(containing: "quarantine/").count == 1)
      let told = await eventually {
        Set(coordinator.record.withLockedValue { $0.badReplicas.map(\.chunk.index) }) == [0]
      }
      #expect(told)
    }
  }

  @Test func `the groups of which a node has chunks are told, not those that are empty again`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      func groups(after: UInt32? = nil) async throws -> [UInt32] {
        try await node.channel.call(
          DataNodeMethods.listGroups,
          .with {
            $0.node = node.id.rawValue
            if let after { $0.after = after }
          }
        ).groups
      }
      for (group, length) in [(0, 400_000), (7, 100), (9, 400_000)] as [(UInt32, Int)] {
        _ = try await node.write(ChunkSample(inode: 62, index: group, length: length, seed: 37)) { parts in
          guard case .open(var open) = parts[0] else { return }
          open.group = group
          parts[0] = .open(open)
        }
      }
      #expect(try await groups() == [0, 7, 9])
      #expect(try await groups(after: 0) == [7, 9])
      #expect(try await Self.removed(node, [(62, 7, 1)]) == 1)
      #expect(try await groups() == [0, 9])
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
