import DFSCodec
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOConcurrencyHelpers
import Testing

@testable import DFSDataNode

/// The two calls about copies of the metadata, on a real node.
@Suite(.serialized, .timeLimit(.minutes(1))) struct MetadataCopyLoopbackTests {
  private static func opening(
    _ node: NodeCluster.Node, cluster: UInt64 = 0xC1, term: UInt64 = 1, incarnation: UInt16 = 1
  ) -> WireKeepMetadataRequest {
    .with {
      $0.open = .with {
        $0.cluster = cluster
        $0.epoch = WireEpoch(Epoch(incarnation: incarnation, term: term))
        $0.node = node.id.rawValue
        $0.round = 9
      }
    }
  }

  private static func piece(_ number: UInt64, last: UInt64? = nil) -> WireKeepMetadataRequest {
    .with {
      $0.checkpoint = .with {
        $0.number = number
        $0.content = Data([UInt8(number), 7])
        $0.crc32C = CRC32C.checksum([UInt8(number), 7])
        $0.term = 1
        if let last { $0.lastOfRound = last }
      }
    }
  }

  private static func rounds(_ numbers: ClosedRange<UInt64>) -> WireKeepMetadataRequest {
    .with {
      $0.rounds.rounds = numbers.map { number in
        .with {
          $0.round = number
          $0.term = 1
          $0.content = Data([UInt8(number)])
          $0.crc32C = CRC32C.checksum([UInt8(number)])
        }
      }
    }
  }

  /// Sends messages, each after the answer to the one before.
  private static func keep(
    _ node: NodeCluster.Node, _ requests: [WireKeepMetadataRequest]
  ) async throws -> [WireKeepMetadataResponse] {
    try await node.channel.call(
      DataNodeMethods.keepMetadata, options: .init(timeout: .seconds(20), waitForReady: true)
    ) { writer, reader in
      var answers: [WireKeepMetadataResponse] = []
      for request in requests {
        try await writer.write(request)
        guard let answer = try await reader.next() else { throw DFSError(.unavailable, "no answer") }
        answers.append(answer)
      }
      try await writer.finish()
      return answers
    }
  }

  private static func read(
    _ node: NodeCluster.Node, headerOnly: Bool = false
  ) async throws -> [WireReadMetadataResponse] {
    try await node.channel.call(
      DataNodeMethods.readMetadata, .with { $0.headerOnly = headerOnly },
      options: .init(timeout: .seconds(20), waitForReady: true)
    ) { reader in
      var answers: [WireReadMetadataResponse] = []
      while let answer = try await reader.next() { answers.append(answer) }
      return answers
    }
  }

  private static func refusal(_ body: () async throws -> Void) async -> DFSError.Code? {
    do {
      try await body()
      return nil
    } catch { return DFSError(wrapping: error, "").code }
  }

  @Test func `a copy is kept, survives a restart and is given back`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      var node = await cluster.nodes[0]
      #expect(await Self.refusal { _ = try await Self.read(node) } == .notFound)
      let none = try await Self.read(node, headerOnly: true)
      #expect(none.count == 1 && none[0].header.round == 0 && none[0].header.cluster == 0xC1)
      #expect(none[0].header.seenRevision == 10 && none[0].header.node == node.id.rawValue)

      let answers = try await Self.keep(
        node, [Self.opening(node), Self.piece(0), Self.rounds(6...7), Self.piece(1, last: 5), Self.rounds(8...9)])
      #expect(answers.map(\.hasRound) == [false, false, false, true, true])
      #expect(answers.map(\.round) == [0, 0, 0, 7, 9])
      #expect(answers[4].checkpointBytes > 0 && answers[4].roundBytes > 0)

      await node.stop()
      node = try await cluster.start([coordinator.endpoint], in: node.directory)
      _ = await node.server.joined()
      let parts = try await Self.read(node)
      #expect(parts[0].header.round == 9 && parts[0].header.epoch.incarnation == 1)
      #expect(parts.dropFirst().prefix(2).map(\.checkpoint.number) == [0, 1])
      #expect(!parts[1].checkpoint.hasLastOfRound && parts[2].checkpoint.lastOfRound == 5)
      #expect(parts.dropFirst(3).map(\.round.round) == [6, 7, 8, 9])
      #expect(parts[6].round.content == Data([9]))
      let more = try await Self.keep(node, [Self.opening(node), Self.rounds(10...10)])
      #expect(more.map(\.round) == [9, 10])
    }
  }

  @Test func `a stop does not wait for the stream of a coordinator, which is told`() async throws {
    try await NodeCluster.with(1, change: { $0.drainGrace = .seconds(600) }) { cluster, _ in
      let node = await cluster.nodes[0]
      let code = await Self.refusal {
        try await node.channel.call(
          DataNodeMethods.keepMetadata, options: .init(timeout: .seconds(50), waitForReady: true)
        ) { writer, reader in
          try await writer.write(Self.opening(node))
          _ = try await reader.next()
          node.server.stop()
          _ = try await reader.next()
        }
      }
      #expect(code == .unavailable)
      try await node.task.value
    }
  }

  @Test func `other clusters, other coordinators and damaged content are refused`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let node = await cluster.nodes[0]
      func code(_ requests: [WireKeepMetadataRequest]) async -> DFSError.Code? {
        await Self.refusal { _ = try await Self.keep(node, requests) }
      }
      #expect(await code([Self.opening(node, cluster: 0xC2)]) == .failedPrecondition)
      #expect(await code([Self.opening(node, term: 0)]) == .stale)
      // One that the node has not registered with.
      #expect(await code([Self.opening(node, term: 2)]) == .unavailable)
      #expect(await code([Self.piece(0)]) == .invalidArgument)
      var other = Self.opening(node)
      other.open.node = 1
      #expect(await code([other]) == .stale)
      var damaged = Self.piece(0, last: 5)
      damaged.checkpoint.crc32C ^= 1
      #expect(await code([Self.opening(node), damaged]) == .corrupt)
      damaged = Self.rounds(6...7)
      damaged.rounds.rounds[1].content = Data([1])
      #expect(await code([Self.opening(node), Self.piece(0, last: 5), damaged]) == .corrupt)
      let kept = try await Self.read(node, headerOnly: true)
      #expect(kept[0].header.round == 5)
    }
  }

  @Test func `a coordinator that another one replaced is refused in the middle of its stream`() async throws {
    try await NodeCluster.with(1) { cluster, coordinator in
      let node = await cluster.nodes[0]
      let code = await Self.refusal {
        try await node.channel.call(
          DataNodeMethods.keepMetadata, options: .init(timeout: .seconds(20), waitForReady: true)
        ) { writer, reader in
          try await writer.write(Self.opening(node))
          _ = try await reader.next()
          try await writer.write(Self.piece(0, last: 5))
          let kept = try await reader.next()
          #expect(kept?.round == 5)
          coordinator.script.withLockedValue { $0.epoch.term = 2 }
          for round in UInt64(6)...200 {
            try await writer.write(Self.rounds(round...round))
            guard try await reader.next() != nil else { return }
            try await Task.sleep(for: .milliseconds(30))
          }
        }
      }
      #expect(code == .stale)
    }
  }
}
