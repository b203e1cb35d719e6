import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import NIOConcurrencyHelpers
import Testing

@testable import DFSDataNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct MembershipLoopbackTests {
  @Test func `a node started before its coordinator joins by itself`() async throws {
    let cluster = try NodeCluster()
    // A port that was free a moment ago, and refuses now.
    let placeholder = try await ScriptedCoordinator.start(loops: cluster.loops)
    await placeholder.stop()
    let node = try await cluster.start([placeholder.endpoint])
    let coordinator = try await ScriptedCoordinator.start(on: placeholder.endpoint, loops: cluster.loops)
    #expect(await node.server.joined())
    #expect(try await node.receipts(for: ChunkSample(length: 100, seed: 40)) == 1)
    await cluster.stop(coordinator)
  }

  @Test func `a node outlives its coordinator and registers anew with the next one`() async throws {
    let cluster = try NodeCluster()
    let first = try await ScriptedCoordinator.start(loops: cluster.loops)
    let node = try await cluster.start([first.endpoint])
    #expect(await node.server.joined())
    await first.stop()
    var script = ScriptedCoordinator.Script()
    script.epoch = Epoch(incarnation: 1, term: 2)
    let second = try await ScriptedCoordinator.start(script, on: first.endpoint, loops: cluster.loops)
    #expect(await eventually { second.record.withLockedValue { !$0.heartbeats.isEmpty } })
    let registration = try #require(second.record.withLockedValue { $0.registrations.first })
    #expect(registration.cluster == 0xC1)
    #expect(registration.highestEpoch == WireEpoch(Epoch(incarnation: 1, term: 1)))
    #expect(registration.node == node.id.rawValue)
    await cluster.stop(second)
  }

  @Test func `with several addresses it finds the coordinator that lives`() async throws {
    let cluster = try NodeCluster()
    let gone = try await ScriptedCoordinator.start(loops: cluster.loops)
    await gone.stop()
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops)
    let node = try await cluster.start([gone.endpoint, coordinator.endpoint])
    #expect(await node.server.joined())
    await cluster.stop(coordinator)
  }

  @Test func `a foreign cluster, an earlier epoch and metadata that went backwards are not obeyed`()
    async throws
  {
    let cluster = try NodeCluster()
    var script = ScriptedCoordinator.Script()
    script.epoch = Epoch(incarnation: 1, term: 3)
    let good = try await ScriptedCoordinator.start(script, loops: cluster.loops)
    let node = try await cluster.start([good.endpoint])
    #expect(await node.server.joined())
    await node.stop()
    #expect(good.record.withLockedValue { $0.stopped.contains(node.id.rawValue) })

    var foreign = script
    foreign.cluster = ClusterID(rawValue: 0xC2)
    var earlier = script
    earlier.epoch = Epoch(incarnation: 1, term: 2)
    var backwards = script
    backwards.revision = Revision(rawValue: 9)
    for bad in [foreign, earlier, backwards] {
      let coordinator = try await ScriptedCoordinator.start(bad, loops: cluster.loops)
      let again = try await cluster.start([coordinator.endpoint], in: node.directory)
      #expect(await eventually { coordinator.record.withLockedValue { $0.registrations.count >= 2 } })
      #expect(coordinator.record.withLockedValue { $0.heartbeats.isEmpty })
      await again.kill()
      await coordinator.stop()
    }
    await cluster.stop(good)
  }

  @Test func `a heartbeat tells space, chunks and that it takes writes`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      _ = try await node.write(ChunkSample(length: 1 << 20, seed: 41))
      let told = await eventually {
        guard let beat = coordinator.record.withLockedValue({ $0.heartbeats[node.id.rawValue] }) else {
          return false
        }
        return beat.chunks == 1 && beat.storedBytes >= 1 << 20 && beat.writable
          && beat.capacityBytes > beat.freeBytes
      }
      #expect(told)
    }
  }

  @Test func `an orderly stop lets a running transfer finish`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 2 << 20, seed: 42)
      let opening = node.opening(of: sample)
      let result = try await node.channel.call(DataNodeMethods.writeChunk) { writer, reader in
        try await writer.write(.open(opening))
        let pieces = sample.pieces()
        try await writer.write(.data(pieces[0]))
        while let answer = try await reader.next() { if case .received(1 << 20)? = answer.part { break } }
        node.server.stop()
        #expect(
          await eventually { coordinator.record.withLockedValue { $0.stopped.contains(node.id.rawValue) } })
        try await writer.write(.data(pieces[1]))
        try await writer.write(.finish(sample.finish))
        while let answer = try await reader.next() {
          if case .result(let result)? = answer.part { return result }
        }
        throw DFSError(.unavailable, "no result")
      }
      #expect(result.receipts.count == 1)
    }
  }
}
