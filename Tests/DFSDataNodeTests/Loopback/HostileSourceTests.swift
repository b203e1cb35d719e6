import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging
import NIOCore
import TestSupport
import Testing

@testable import DFSDataNode

/// A node that answers reads as a test says.
private struct ScriptedSource {
  let node: UInt64
  let endpoint: Endpoint
  private let server: RPCServer

  init(
    _ node: UInt64, _ loops: NetworkLoops,
    _ answer: @escaping @Sendable (WireReadChunkRequest, MessageWriter<ReadChunkPart>) async throws -> Void
  ) async throws {
    var router = RPCRouter()
    router.handle(DataNodeMethods.readChunk) { request, writer, _ in try await answer(request, writer) }
    server = RPCServer(
      router: router, configuration: .init(listen: [Endpoint(host: "127.0.0.1", port: 0)]), loops: loops,
      logger: Logger(label: "source"))
    endpoint = try await server.start()[0]
    self.node = node
  }

  var address: WireNodeAddress {
    .with {
      $0.node = node
      $0.address = endpoint.description
    }
  }

  func stop() async { await server.drain(grace: .zero) }
}

extension ChunkSample {
  fileprivate var header: ReadChunkPart {
    .header(
      .with {
        $0.length = UInt32(bytes.count)
        $0.leaves = Data(leaves.flatMap(\.bytes))
      })
  }

  /// As a reader gets them, from `offset` on: without leaves.
  fileprivate func parts(from offset: Int = 0) -> [ReadChunkPart] {
    pieces().filter { $0.offset >= offset }.map { piece in
      var piece = piece
      piece.leaves = ByteBuffer()
      return .data(piece)
    }
  }
}

@Suite(.serialized, .timeLimit(.minutes(1))) struct HostileSourceTests {
  /// How a source misbehaves after its header, and whether that says that its replica is bad.
  enum Trick: String, CaseIterable, Sendable {
    case silent, endsEarly, foreignLeaves, wrongOrder, wrongBytes, wrongChecksums, tooLong, shortInTheMiddle
    case noHeader, refuses

    var isBad: Bool { ![.silent, .endsEarly, .wrongChecksums, .refuses].contains(self) }
  }

  private static func play(
    _ trick: Trick, _ sample: ChunkSample, _ writer: MessageWriter<ReadChunkPart>
  ) async throws {
    let parts = sample.parts()
    func change(_ part: ReadChunkPart, _ body: (inout ChunkPiece) -> Void) -> ReadChunkPart {
      guard case .data(var piece) = part else { return part }
      body(&piece)
      return .data(piece)
    }
    if trick == .refuses { throw DFSError(.unavailable, "not now") }
    if trick == .noHeader { return try await writer.write(parts[0]) }
    if trick == .foreignLeaves {
      return try await writer.write(ChunkSample(length: sample.bytes.count, seed: 1).header)
    }
    try await writer.write(sample.header)
    try await writer.write(parts[0])
    switch trick {
    case .silent: try await Task.sleep(for: .seconds(30))
    case .wrongOrder: try await writer.write(parts[2])
    case .wrongBytes:
      try await writer.write(
        change(parts[1]) { $0.payload = .bytes(ByteBuffer(repeating: 7, count: $0.payload.byteCount)) })
    case .wrongChecksums:
      // The hash is what counts.
      for part in parts.dropFirst() { try await writer.write(change(part) { $0.checksums[0] ^= 1 }) }
    case .tooLong: for part in parts.dropFirst() + [parts[2]] {
        try await writer.write(change(part) { if $0.offset == 2 << 20 { $0.offset = 1 << 20 } })
      }
    case .shortInTheMiddle:
      try await writer.write(
        change(parts[1]) { piece in
          piece.payload = .bytes(ByteBuffer(repeating: 7, count: Block.size + 5))
          piece.checksums = [0, 0]
        })
    default: break
    }
  }

  @Test(arguments: Trick.allCases)
  func `whatever a source does, the chunk comes whole from the next one`(_ trick: Trick) async throws {
    // Nobody but the silent one is to be taken for silent, however slow the machine.
    let patience = Duration.seconds(trick == .silent ? 1 : 30)
    try await NodeCluster.with(2, change: { $0.stragglerTimeout = patience }) { cluster, _ in
      let (good, target) = (await cluster.nodes[0], await cluster.nodes[1])
      let sample = ChunkSample(length: (2 << 20) + 70_000, seed: 110)
      _ = try await good.write(sample)
      let bad = try await ScriptedSource(77, cluster.loops) { request, writer in
        try await Self.play(trick, sample, writer)
      }
      let answers = try await target.copy([sample], from: [bad.address, good.address])
      await bad.stop()
      #expect(answers.map(\.reason) == [""], "\(answers)")
      #expect(answers.map(\.badSources) == [trick.isBad ? [77] : []])
      #expect(try await target.read(sample) == sample.bytes)
      _ = try await target.stat(sample, verify: true)
      #expect(target.files(containing: "incoming/").isEmpty)
    }
  }

  @Test func `the next source is asked for the rest only`() async throws {
    try await NodeCluster.with(1) { cluster, _ in
      let target = await cluster.nodes[0]
      let sample = ChunkSample(length: 3 << 20, seed: 111)
      let (asked, note) = AsyncStream<WireReadChunkRequest>.makeStream()
      var sources: [ScriptedSource] = []
      // Each gives one piece, then breaks off.
      for node in 1...3 as ClosedRange<UInt64> {
        sources.append(
          try await ScriptedSource(node, cluster.loops) { request, writer in
            note.yield(request)
            try await writer.write(request.withoutLeaves ? .header(WireReadChunkHeader()) : sample.header)
            if let part = sample.parts(from: Int(request.offset)).first { try await writer.write(part) }
          })
      }
      let answers = try await target.copy([sample], from: sources.map(\.address))
      for source in sources { await source.stop() }
      note.finish()
      #expect(answers.map(\.reason) == [""])
      var offsets: [UInt32] = []
      for await request in asked { offsets.append(request.offset) }
      #expect(offsets == [0, 1 << 20, 2 << 20])
      #expect(try await target.read(sample) == sample.bytes)
    }
  }
}
