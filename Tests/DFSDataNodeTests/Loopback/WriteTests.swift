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

@Suite(.serialized, .timeLimit(.minutes(1))) struct WriteTests {
  @Test(arguments: [(3 << 20) + 777, 100, Block.size, 256 << 10, 8 << 20])
  func `a chunk written to one node is durable and identical on three`(length: Int) async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: length, seed: 1)
      let result = try await nodes[0].write(sample, to: [nodes[1].address, nodes[2].address])
      #expect(result.receipts.map(\.node) == nodes.map(\.id.rawValue))
      #expect(result.failures.isEmpty)
      for node in nodes {
        #expect(try await node.read(sample) == sample.bytes)
        let found = try await node.stat(sample, verify: true)
        #expect(Int(found.length) == length)
        #expect(found.root == sample.root.wire)
      }
    }
  }

  @Test func `a receipt is sealed with the key of the registration`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 5000, seed: 2)
      let receipt = try #require(try await node.write(sample, epoch: 9).receipts.first)
      let seal = ReceiptSeal(
        chunk: sample.chunk, length: 5000, root: sample.root, group: GroupID(rawValue: 7),
        groupEpoch: GroupEpoch(rawValue: 9), node: node.id, store: StoreID(rawValue: receipt.store))
      let code = try Digest(wire: receipt.mac, "mac")
      #expect(MessageAuthenticator(key: ScriptedCoordinator.receiptKey).accepts(code, for: seal.bytes))
      #expect(receipt.groupEpoch == 9)
    }
  }

  @Test func `the same chunk again gets receipts again, another content is refused`() async throws {
    try await NodeCluster.with(2) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(inode: 5, length: 300_000, seed: 3)
      for _ in 0..<2 {
        let result = try await nodes[0].write(sample, to: [nodes[1].address])
        #expect(result.receipts.count == 2)
      }
      let other = ChunkSample(inode: 5, length: 300_000, seed: 4)
      let error = await #expect(throws: DFSError.self) {
        try await nodes[0].write(other, to: [nodes[1].address])
      }
      #expect(error?.code == .alreadyExists)
      #expect(try await nodes[1].read(sample) == sample.bytes)
    }
  }

  @Test func `a member that is down leaves two receipts and a failure, at once`() async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      await nodes[2].kill()
      let sample = ChunkSample(length: 1 << 20, seed: 5)
      let result = try await nodes[0].write(sample, to: [nodes[1].address, nodes[2].address])
      #expect(result.receipts.map(\.node) == [nodes[0].id.rawValue, nodes[1].id.rawValue])
      #expect(result.failures.map(\.node) == [nodes[2].id.rawValue])
      let why = try #require(result.failures.first?.message)
      #expect(!why.contains("was silent") && !why.contains("no progress"), "nobody waited: \(why)")
    }
  }

  @Test func `a member that is back is written to at once`() async throws {
    try await NodeCluster.with(2) { cluster, coordinator in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 1000, seed: 14)
      _ = try await nodes[0].write(sample, to: [nodes[1].address])
      await nodes[1].kill()
      for seed in UInt64(15)..<25 {
        await #expect(throws: DFSError.self) {
          try await nodes[0].write(ChunkSample(length: 1000, seed: seed), to: [nodes[1].address])
        }
      }
      let again = try await cluster.start([coordinator.endpoint], in: nodes[1].directory) {
        [endpoint = nodes[1].endpoint] in
        $0.listen = endpoint
      }
      #expect(await again.server.joined())
      let isBack = await eventually(within: .seconds(1)) {
        (try? await nodes[0].receipts(for: sample, to: [again.address])) == 2
      }
      #expect(isBack)
    }
  }

  @Test func `with two of three members down a write fails clearly and leaves nothing`() async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      await nodes[1].kill()
      await nodes[2].kill()
      let sample = ChunkSample(length: 1 << 20, seed: 6)
      let error = await #expect(throws: DFSError.self) {
        try await nodes[0].write(sample, to: [nodes[1].address, nodes[2].address])
      }
      #expect(error?.code == .unavailable)
      #expect(error?.metadata["failed_nodes"]?.contains(nodes[2].id.description) == true)
      #expect(await eventually { nodes[0].files(containing: "incoming").isEmpty })
    }
  }

  @Test func `a member that stalls in the middle is left behind after the bound`() async throws {
    try await NodeCluster.with(2, change: { $0.stragglerTimeout = .milliseconds(1500) }) { cluster, _ in
      let nodes = await cluster.nodes
      // A member that opens the transfer and then neither reads nor answers, as a stopped process does.
      var router = RPCRouter()
      router.handle(DataNodeMethods.writeChunk) { _, _, _ in try await Task.sleep(for: .seconds(60)) }
      let stalled = RPCServer(
        router: router, configuration: .init(listen: [Endpoint(host: "127.0.0.1", port: 0)]),
        loops: cluster.loops,
        logger: cluster.logger)
      let endpoint = try await stalled.start()[0]
      let member = WireNodeAddress.with {
        $0.node = 99
        $0.address = endpoint.description
      }
      let sample = ChunkSample(length: 8 << 20, seed: 7)
      let result = try await nodes[0].write(sample, to: [nodes[1].address, member])
      #expect(result.receipts.count == 2)
      #expect(result.failures.map(\.node) == [99])
      #expect(result.failures.first?.message.contains("was silent for 1.5 seconds") == true)
      // The next chunk does not pay the whole time again.
      let next = try await nodes[0].write(ChunkSample(length: 1000, seed: 8), to: [nodes[1].address, member])
      #expect(next.receipts.count == 2)
      #expect(next.failures.first?.message.contains("was silent for 0.5 seconds") == true)
      await stalled.drain(grace: .zero)
    }
  }

  @Test func `a member killed in the middle of a chunk is left behind`() async throws {
    try await NodeCluster.with(3) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 8 << 20, seed: 8)
      let opening = nodes[0].opening(of: sample, to: [nodes[1].address, nodes[2].address])
      let result = try await nodes[0].channel.call(DataNodeMethods.writeChunk) { writer, reader in
        try await writer.write(.open(opening))
        for (number, piece) in sample.pieces().enumerated() {
          if number == 4 { await nodes[2].kill() }
          try await writer.write(.data(piece))
        }
        try await writer.write(.finish(sample.finish))
        while let answer = try await reader.next() {
          if case .result(let result)? = answer.part { return result }
        }
        throw DFSError(.unavailable, "no result")
      }
      #expect(result.receipts.count == 2)
      #expect(result.failures.map(\.node) == [nodes[2].id.rawValue])
      #expect(try await nodes[1].read(sample) == sample.bytes)
    }
  }

  @Test func `acknowledgements are what the slowest member has received`() async throws {
    try await NodeCluster.with(2) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 4 << 20, seed: 9)
      let opening = nodes[0].opening(of: sample, to: [nodes[1].address])
      let acknowledged = try await nodes[0].channel.call(DataNodeMethods.writeChunk) { writer, reader in
        try await writer.write(.open(opening))
        for piece in sample.pieces().prefix(3) { try await writer.write(.data(piece)) }
        var seen: [UInt32] = []
        while seen.last != 3 << 20, let answer = try await reader.next() {
          if case .received(let count)? = answer.part { seen.append(count) }
        }
        return seen
      }
      #expect(acknowledged == acknowledged.sorted())
      #expect(acknowledged.last == 3 << 20)
      // Leaving the call early cancelled it: nothing stays, on neither node.
      for node in nodes {
        #expect(await eventually { node.files(containing: "incoming").isEmpty })
        await #expect(throws: DFSError.self) { try await node.stat(sample) }
      }
    }
  }

  @Test func `a wrong node, an old group epoch and a missing lease are refused before the first byte`()
    async throws
  {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let sample = ChunkSample(length: 1000, seed: 10)
      let wrong = await #expect(throws: DFSError.self) {
        try await node.write(sample) { parts in
          guard case .open(var open) = parts[0] else { return }
          open.node = 12345
          parts[0] = .open(open)
        }
      }
      #expect(wrong?.code == .stale)

      coordinator.script.withLockedValue { $0.groupEpochs = [GroupID(rawValue: 7): GroupEpoch(rawValue: 6)] }
      let refused = await eventually {
        do { _ = try await node.write(sample, epoch: 5) } catch {
          return (error as? DFSError)?.code == .stale
        }
        return false
      }
      #expect(refused)
      let admitted = try await node.receipts(for: sample, epoch: 6)
      #expect(admitted == 1)

      coordinator.script.withLockedValue {
        $0.lease = .milliseconds(1)
        $0.isSilent = true
      }
    }
  }

  @Test func `a node that lost its coordinator refuses new writes after half its lease and goes on reading`()
    async throws
  {
    let cluster = try NodeCluster()
    let coordinator = try await ScriptedCoordinator.start(
      .init(lease: .milliseconds(1000)), loops: cluster.loops)
    let node = try await cluster.start([coordinator.endpoint])
    #expect(await node.server.joined())
    let sample = ChunkSample(length: 1000, seed: 11)
    #expect(try await node.receipts(for: sample) == 1)
    coordinator.script.withLockedValue { $0.isSilent = true }
    let refused = await eventually {
      do { _ = try await node.write(ChunkSample(length: 1000, seed: 12)) } catch {
        return (error as? DFSError)?.code == .unavailable
      }
      return false
    }
    #expect(refused)
    #expect(try await node.read(sample) == sample.bytes)
    await cluster.stop(coordinator)
  }

  @Test func `bytes that fail their checksum, a wrong root and a wrong length are refused and leave nothing`()
    async throws
  {
    try await NodeCluster.with(2) { cluster, _ in
      let nodes = await cluster.nodes
      let sample = ChunkSample(length: 700_000, seed: 13)
      let spoilers: [@Sendable (inout [WriteChunkPart]) -> Void] = [
        { parts in
          guard case .data(var piece) = parts[1], case .bytes(var payload) = piece.payload else { return }
          payload.setInteger(UInt8(payload.getInteger(at: 99, as: UInt8.self)! ^ 1), at: 99)
          piece.payload = .bytes(payload)
          parts[1] = .data(piece)
        },
        { parts in
          parts[parts.count - 1] = .finish(
            .with {
              $0.length = 700_000; $0.root = Data(repeating: 3, count: 32)
            })
        },
        { parts in
          parts[parts.count - 1] = .finish(
            .with {
              $0.length = 699_999; $0.root = sample.root.wire
            })
        },
        { parts in parts.swapAt(1, 2) },
        { parts in parts.removeLast() },
        { parts in parts.insert(parts[0], at: 1) },
        { parts in parts.removeFirst() },
      ]
      for (number, spoil) in spoilers.enumerated() {
        let error = await #expect(throws: DFSError.self, "spoiler \(number)") {
          try await nodes[0].write(sample, to: [nodes[1].address], pieceSize: 256 << 10, change: spoil)
        }
        #expect(error?.code != .internal, "spoiler \(number): \(String(describing: error))")
      }
      for node in nodes {
        #expect(await eventually { node.files(containing: "incoming").isEmpty })
        await #expect(throws: DFSError.self) { try await node.stat(sample) }
      }
      // The node that was told so much nonsense still works.
      let receipts = try await nodes[0].receipts(for: sample, to: [nodes[1].address])
      #expect(receipts == 2)
    }
  }
}
