import DFSChunkStore
import DFSCodec
import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging

/// The two calls about the copy of the coordinator's metadata: keeping it, and giving it back. The content is
/// opaque to this node.
struct MetadataCopyService: Sendable {
  let node: NodeID
  let membership: Membership
  let copies: MetadataCopyStore
  let disk: BlockingThreads
  let stop: StopGate
  let logger: Logger

  func register(on router: inout RPCRouter) {
    router.handle(DataNodeMethods.keepMetadata) { reader, writer, _ in try await self.keep(reader, writer) }
    router.handle(DataNodeMethods.readMetadata) { request, writer, _ in try await self.read(request, writer) }
  }

  // MARK: Keeping

  /// Lives until the coordinator ends it or the node stops, whichever comes first.
  private func keep(
    _ reader: MessageReader<WireKeepMetadataRequest>, _ writer: MessageWriter<WireKeepMetadataResponse>
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.take(reader, writer) }
      group.addTask {
        await stop.closed()
        throw DFSError(.unavailable, "node \(node) is stopping")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Writes what one coordinator sends, message by message: each is answered once it is durable.
  private func take(
    _ reader: MessageReader<WireKeepMetadataRequest>, _ writer: MessageWriter<WireKeepMetadataResponse>
  ) async throws {
    guard case .open(let open) = try await reader.next()?.part else {
      throw DFSError(.invalidArgument, "the keeping of metadata begins with its opening")
    }
    guard open.node == node.rawValue else {
      throw DFSError(
        .stale, "this is node \(node), not \(NodeID(rawValue: open.node)); ask for its address again",
        metadata: ["node": node.description])
    }
    let header = CopyFileHeader(cluster: ClusterID(rawValue: open.cluster), epoch: try Epoch(open.epoch))
    try admit(header)
    let (session, copy) = try await disk.run { [copies] in try copies.begin(header) }
    if open.hasAfterRound, open.afterRound != copy?.round {
      throw DFSError(.stale, "this node does not have round \(open.afterRound) of the metadata: begin again")
    }
    try await writer.write(WireKeepMetadataResponse(copy))
    while let request = try await reader.next() {
      let frames = try request.frames()
      // Another coordinator may have taken over since the last message.
      try admit(header)
      let copy = try await disk.run { [copies] in try copies.add(frames, in: session) }
      try await writer.write(WireKeepMetadataResponse(copy))
    }
  }

  /// Only the coordinator that this node obeys may write, of the cluster that it belongs to.
  private func admit(_ header: CopyFileHeader) throws {
    let seen = membership.seen
    guard let own = seen.cluster else {
      throw DFSError(.unavailable, "node \(node) belongs to no cluster yet: it keeps no metadata")
    }
    guard own == header.cluster else {
      throw DFSError(
        .failedPrecondition, "node \(node) belongs to cluster \(own): it keeps no metadata of \(header.cluster)",
        metadata: ["cluster": own.description])
    }
    guard header.epoch >= seen.epoch else {
      throw DFSError(
        .stale, "the coordinator is at epoch \(header.epoch), but node \(node) obeys \(seen.epoch)",
        metadata: ["epoch": seen.epoch.description])
    }
    guard header.epoch == seen.epoch else {
      throw DFSError(
        .unavailable, "node \(node) has not registered with the coordinator of epoch \(header.epoch) yet")
    }
  }

  // MARK: Giving back

  private func read(
    _ request: WireReadMetadataRequest, _ writer: MessageWriter<WireReadMetadataResponse>
  ) async throws {
    let found = try await disk.run { [copies] in try copies.read() }
    guard found != nil || request.headerOnly else {
      throw DFSError(.notFound, "node \(node) has no complete copy of the metadata")
    }
    try await writer.write(.with { $0.header = header(of: found?.copy) })
    guard !request.headerOnly, var reader = found?.reader else { return }
    var held: CopyFrame?
    while true {
      let (next, advanced) = try await disk.run { [reader] in
        var reader = reader
        return (try reader.next(), reader)
      }
      reader = advanced
      // The last piece of the checkpoint says that it is the last, so each waits for what follows.
      if let held { try await writer.write(WireReadMetadataResponse(held, before: next)) }
      guard let next else { break }
      held = next.kind == .end ? nil : next
    }
    logger.notice("the copy of the metadata was read", metadata: ["round": "\(found?.copy.round ?? 0)"])
  }

  private func header(of copy: StoredCopy?) -> WireMetadataCopyHeader {
    let seen = membership.seen
    return .with {
      $0.cluster = (copy?.cluster ?? seen.cluster)?.rawValue ?? 0
      $0.epoch = WireEpoch(copy?.epoch ?? .zero)
      $0.round = copy?.round ?? 0
      $0.term = copy?.term ?? 0
      $0.seenEpoch = WireEpoch(seen.epoch)
      $0.seenRevision = seen.revision.rawValue
      $0.node = node.rawValue
    }
  }
}

extension WireKeepMetadataResponse {
  fileprivate init(_ copy: StoredCopy?) {
    self.init()
    guard let copy else { return }
    round = copy.round
    term = copy.term
    checkpointBytes = UInt64(copy.checkpointLength)
    roundBytes = UInt64(copy.logLength)
  }
}

extension WireKeepMetadataRequest {
  private static let largestPiece = 1 << 20
  private static let mostRounds = 10_000

  /// What the message asks to be written, its content compared with its checksums. Throws `.corrupt`,
  /// `.invalidArgument`.
  fileprivate func frames() throws -> [CopyFrame] {
    switch part {
    case .checkpoint(let piece):
      guard piece.content.count <= Self.largestPiece else {
        throw DFSError(.invalidArgument, "a checkpoint's piece has at most 1 MiB")
      }
      let frame = CopyFrame(
        kind: .checkpoint, number: piece.number, term: piece.term, content: [UInt8](piece.content))
      try frame.check(piece.crc32C)
      guard piece.hasLastOfRound else { return [frame] }
      return [frame, CopyFrame(kind: .end, number: piece.lastOfRound, term: piece.term, content: [])]
    case .rounds(let pieces):
      guard (1...Self.mostRounds).contains(pieces.rounds.count) else {
        throw DFSError(.invalidArgument, "1 to \(Self.mostRounds) rounds are kept at once")
      }
      return try pieces.rounds.map { piece in
        let frame = CopyFrame(
          kind: .round, number: piece.round, term: piece.term, content: [UInt8](piece.content))
        try frame.check(piece.crc32C)
        return frame
      }
    case .open, nil: throw DFSError(.invalidArgument, "metadata is kept as pieces of a checkpoint and rounds")
    }
  }
}

extension CopyFrame {
  fileprivate func check(_ checksum: UInt32) throws {
    guard content.count <= Self.longestContent, CRC32C.checksum(content) == checksum else {
      throw DFSError(.corrupt, "the metadata's \(kind) \(number) fails its checksum: send it again")
    }
  }
}

extension WireReadMetadataResponse {
  fileprivate init(_ frame: CopyFrame, before next: CopyFrame?) {
    self.init()
    let (content, sum) = (Data(frame.content), CRC32C.checksum(frame.content))
    if frame.kind == .checkpoint {
      checkpoint = .with {
        $0.number = frame.number
        $0.content = content
        $0.crc32C = sum
        $0.term = frame.term
        if let next, next.kind == .end {
          $0.lastOfRound = next.number
          $0.term = next.term
        }
      }
    } else {
      round = .with {
        $0.round = frame.number
        $0.term = frame.term
        $0.content = content
        $0.crc32C = sum
      }
    }
  }
}
