import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSDataNode

extension NodeCluster.Node {
  /// Tells a job of this node what to do, as the coordinator does.
  @discardableResult
  func control(
    _ job: String, _ action: WireJobAction, percent: UInt32 = 0, term: UInt64 = 1
  ) async throws -> WireJobStatus? {
    try await channel.call(
      DataNodeMethods.controlNodeJob,
      .with {
        $0.epoch = WireEpoch(Epoch(incarnation: 1, term: term))
        $0.node = id.rawValue
        $0.name = job
        $0.action = action
        $0.pacePercent = percent
      }
    ).jobs.first
  }

  /// Flips a byte of a small chunk in the blob files of the database. Only what a start has recovered from
  /// the log is there.
  func flipInDatabase(_ sample: ChunkSample, at offset: Int) throws {
    let needle = Data(sample.bytes[offset..<min(offset + 64, sample.bytes.count)])
    for file in files(containing: "small/") where file.hasSuffix(".blob") {
      let url = URL(fileURLWithPath: "\(directory)/\(file)")
      guard let found = try Data(contentsOf: url).range(of: needle) else { continue }
      let handle = try FileHandle(forUpdating: url)
      try handle.seek(toOffset: UInt64(found.lowerBound))
      try handle.write(contentsOf: [needle[needle.startIndex] ^ 1])
      return try handle.close()
    }
    Issue.record("the chunk is in no blob file")
  }
}

@Suite(.serialized, .timeLimit(.minutes(1))) struct ScrubTests {
  @Test func `the scrub finds a flipped byte in a file and in a small chunk, keeps the bytes, and says so`()
    async throws
  {
    try await NodeCluster.with(1) { cluster, coordinator in
      let first = await cluster.nodes[0]
      let samples = [300_000, 300_000, 3000, 3000].enumerated().map {
        ChunkSample(inode: 200, index: UInt32($0.offset), length: $0.element, seed: 90 + UInt64($0.offset))
      }
      for sample in samples { _ = try await first.write(sample) }
      await first.stop()
      let node = try await cluster.start([coordinator.endpoint], in: first.directory)
      #expect(await node.server.joined())
      try node.flip(samples[1], at: 100_000)
      try node.flipInDatabase(samples[3], at: 1000)
      try await node.control("scrub", .run)
      let told = await eventually {
        coordinator.record.withLockedValue { record in
          let beat = record.heartbeats[node.id.rawValue]
          return beat?.quarantined == 2 && beat?.scrub.hasEndedMs == true
            && Set(record.badReplicas.map(\.chunk.index)) == [1, 3]
        }
      }
      #expect(told)
      #expect(node.files(containing: "quarantine/").count == 1)
      for sample in [samples[0], samples[2]] { #expect(try await node.read(sample) == sample.bytes) }
      for sample in [samples[1], samples[3]] {
        let error = await #expect(throws: DFSError.self) { try await node.stat(sample) }
        #expect(error?.code == .notFound)
        // A good copy can come in its place.
        #expect(try await node.receipts(for: sample) == 1)
      }
    }
  }

  @Test func `after a restart the scrub goes on where it was`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let first = await cluster.nodes[0]
      let samples = (0..<3).map { ChunkSample(inode: 201, index: $0, length: 300_000, seed: 95) }
      for sample in samples { _ = try await first.write(sample) }
      await first.stop()
      var record = ScrubRecord()
      record.beganAt = 1000
      record.cursor = ChunkPlace(chunk: samples[0].chunk, group: GroupID(rawValue: 7))
      record.done = 1
      try DataDirectory(path: first.directory).save(record)
      // Behind the cursor, and before it.
      try first.flip(samples[0], at: 10)
      try first.flip(samples[2], at: 10)
      try await reopened(first, cluster, coordinator) { node in
        let ended = await eventually {
          coordinator.record.withLockedValue {
            $0.heartbeats[node.id.rawValue]?.scrub.hasEndedMs == true
          }
        }
        #expect(ended)
        // The next pass is a matter of days: the first chunk is not met again today.
        let bad = await eventually {
          Set(coordinator.record.withLockedValue { $0.badReplicas.map(\.chunk.index) }) == [2]
        }
        #expect(bad)
      }
    }
  }

  private func reopened(
    _ node: NodeCluster.Node, _ cluster: NodeCluster, _ coordinator: ScriptedCoordinator,
    _ body: (NodeCluster.Node) async throws -> Void
  ) async throws {
    let again = try await cluster.start([coordinator.endpoint], in: node.directory)
    #expect(await again.server.joined())
    try await body(again)
  }

  @Test func `a chunk file that was cut short while the node was down is found at the start`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let first = await cluster.nodes[0]
      let samples = (0..<3).map { ChunkSample(inode: 202, index: $0, length: 300_000, seed: 96) }
      for sample in samples { _ = try await first.write(sample) }
      await first.stop()
      for (sample, length) in [(samples[0], 0), (samples[1], 150_000)] {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: first.file(of: sample)))
        try handle.truncate(atOffset: UInt64(length))
        try handle.close()
      }
      try await reopened(first, cluster, coordinator) { node in
        let told = await eventually {
          Set(coordinator.record.withLockedValue { $0.badReplicas.map(\.chunk.index) }) == [0, 1]
        }
        #expect(told)
        #expect(node.files(containing: "quarantine/").count == 2)
        let whole = try await node.read(samples[2])
        #expect(whole == samples[2].bytes)
      }
    }
  }

  @Test func `what was moved aside and not told before a stop is told by the next start, until it is replaced`()
    async throws
  {
    let cluster = try NodeCluster()
    let deaf = try await ScriptedCoordinator.start(loops: cluster.loops)
    let first = try await cluster.start([deaf.endpoint])
    #expect(await first.server.joined())
    let samples = (0..<2).map { ChunkSample(inode: 203, index: $0, length: 300_000, seed: 98) }
    for sample in samples { _ = try await first.write(sample) }
    await deaf.stop()
    try first.flip(samples[0], at: 100)
    await #expect(throws: DFSError.self) { try await first.stat(samples[0], verify: true) }
    #expect(first.files(containing: "quarantine/").count == 1)
    await first.kill()
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops)
    let second = try await cluster.start([coordinator.endpoint], in: first.directory)
    #expect(await second.server.joined())
    let told = await eventually {
      Set(coordinator.record.withLockedValue { $0.badReplicas.map(\.chunk.index) }) == [0]
    }
    #expect(told)
    _ = try await second.write(samples[0])
    await second.stop()
    coordinator.record.withLockedValue { $0.badReplicas = [] }
    let third = try await cluster.start([coordinator.endpoint], in: first.directory)
    #expect(await third.server.joined())
    #expect(coordinator.record.withLockedValue { $0.badReplicas.isEmpty })
    await cluster.stop(coordinator)
  }

  @Test func `a lost database of small chunks is told until a registration that told it was answered`()
    async throws
  {
    let cluster = try NodeCluster()
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops)
    let first = try await cluster.start([coordinator.endpoint])
    #expect(await first.server.joined())
    let sample = ChunkSample(length: 2000, seed: 97)
    _ = try await first.write(sample)
    #expect(coordinator.record.withLockedValue { $0.registrations.map(\.lostChunks) } == [false])
    await first.stop()
    try FileManager.default.removeItem(atPath: "\(first.directory)/small")
    // Nobody is there to be told, twice.
    await coordinator.stop()
    for _ in 0..<2 {
      let lonely = try await cluster.start([coordinator.endpoint], in: first.directory)
      await lonely.kill()
    }
    let next = try await ScriptedCoordinator.start(loops: cluster.loops)
    for _ in 0..<2 {
      let node = try await cluster.start([next.endpoint], in: first.directory)
      #expect(await node.server.joined())
      await node.stop()
    }
    #expect(next.record.withLockedValue { $0.registrations.map(\.lostChunks) } == [true, false])
    await cluster.stop(next)
  }

  @Test func `jobs are listed and controlled, by the coordinator that the node obeys`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let listed = try await node.channel.call(
        DataNodeMethods.listNodeJobs, .with { $0.node = node.id.rawValue })
      #expect(listed.jobs.map(\.name) == ["check_files", "compaction", "revision", "scrub", "space"])
      #expect(listed.jobs.allSatisfy { $0.node == node.id.rawValue && !$0.what.isEmpty })
      #expect(try await node.control("scrub", .pause)?.paused == true)
      #expect(try await node.control("scrub", .resume)?.paused == false)
      #expect(try await node.control("scrub", .pace, percent: 250)?.pacePercent == 250)
      func code(_ body: () async throws -> Void) async -> DFSError.Code? {
        await #expect(throws: DFSError.self) { try await body() }?.code
      }
      #expect(await code { try await node.control("space", .pause) } == .failedPrecondition)
      #expect(await code { try await node.control("nothing", .pause) } == .notFound)
      #expect(await code { try await node.control("scrub", .pause, term: 0) } == .stale)
      #expect(await code { try await node.control("scrub", .pause, term: 9) } == .unavailable)
    }
  }
}
