import DFSCore
import DFSCrypto
import DFSRPC
import DFSWire
import NIOCore

/// Writes one chunk: streams its pieces to the primary of its group, which passes them on, and collects the
/// receipts.
struct ChunkWriter: Sendable {
  let connection: ClusterConnection
  let source: any ChunkSource
  let chunkSize: Int

  /// One attempt. Throws `SourceFailure` when the source is at fault and `DFSError` when a datanode is.
  func write(
    position: Int, as chunk: ChunkID, in group: GroupID, capability: WireCapability
  ) async throws -> UploadPlan.WrittenChunk {
    let (row, route) = try await self.route(chunk, group)
    let length = source.length(of: position, chunkSize: chunkSize)
    let open = opening(chunk, row, route, length, capability)
    do {
      let (root, result) = try await transfer(position, open, length, to: route.primary)
      note(result, route)
      guard result.receipts.count >= row.writeQuorum else {
        throw DFSError(
          .unavailable,
          "only \(result.receipts.count) of \(row.replicas) replicas of chunk \(chunk) were written"
            + (result.failures.first.map { ": \($0.message)" } ?? ""))
      }
      return UploadPlan.WrittenChunk(
        index: chunk.index, group: group, length: UInt32(length), root: root, receipts: result.receipts)
    } catch let error as DFSError {
      try await learn(from: error, route, group)
      throw error
    }
  }

  private func route(_ chunk: ChunkID, _ group: GroupID) async throws -> (GroupRow, WriteRoute) {
    func choose(_ row: GroupRow) -> WriteRoute? {
      connection.withKnowledge { row.writeRoute(health: $0.health, now: .now, spread: Int(chunk.index)) }
    }
    if let row = connection.row(of: group), let route = choose(row) { return (row, route) }
    let row = try await connection.refresh(group)
    guard let route = choose(row) else {
      throw DFSError(
        .unavailable, "group \(group) has \(row.members.count) members, and a write needs \(row.writeQuorum)")
    }
    return (row, route)
  }

  private func opening(
    _ chunk: ChunkID, _ row: GroupRow, _ route: WriteRoute, _ length: Int, _ capability: WireCapability
  ) -> WireWriteChunkOpen {
    let addresses = connection.withKnowledge { $0.map }
    var open = WireWriteChunkOpen()
    open.chunk = WireChunkId(chunk)
    open.group = row.id.rawValue
    open.groupEpoch = row.epoch.rawValue
    open.maxLength = UInt32(chunkSize)
    open.length = UInt32(length)
    open.node = route.primary.rawValue
    open.forwardTo = route.forwards.compactMap { node in
      guard let address = addresses.addresses[node] else { return nil }
      var member = WireNodeAddress()
      member.node = node.rawValue
      member.address = address.description
      member.zone = addresses.zones[node] ?? ""
      return member
    }
    if !capability.token.isEmpty { open.capability = capability }
    return open
  }

  private func transfer(
    _ position: Int, _ open: WireWriteChunkOpen, _ length: Int, to node: NodeID
  ) async throws -> (Digest, WireWriteChunkResult) {
    let channel = try connection.channel(to: node)
    let watch = StallWatch()
    let limit = connection.configuration.writeStallTimeout
    return try await withThrowingTaskGroup(of: (Digest, WireWriteChunkResult)?.self) { group in
      group.addTask {
        try await channel.call(
          DataNodeMethods.writeChunk, options: CallOptions(metadata: OperationTrace.metadata)
        ) { writer, reader in
          try await send(position, open, length, writer, reader, watch)
        }
      }
      group.addTask {
        try await watch.stalled(after: limit)
        throw DFSError(.unavailable, "datanode \(node) made no progress for \(limit)")
      }
      defer { group.cancelAll() }
      while let outcome = try await group.next() {
        if let outcome { return outcome }
      }
      throw CancellationError()
    }
  }

  private func send(
    _ position: Int, _ open: WireWriteChunkOpen, _ length: Int, _ writer: MessageWriter<WriteChunkPart>,
    _ reader: MessageReader<WireWriteChunkResponse>, _ watch: StallWatch
  ) async throws -> (Digest, WireWriteChunkResult) {
    var tree = MerkleFrontier()
    do {
      try await watch.waiting { try await writer.write(.open(open)) }
      var offset = 0
      // The next piece is read and hashed while the present one is sent.
      async let first = piece(position, 0, length)
      var current = try await first
      while let piece = current {
        let next = offset + piece.payload.readableBytes
        async let following = self.piece(position, next, length)
        for leaf in piece.leaves { tree.append(leaf) }
        try await watch.waiting { try await writer.write(.data(ChunkPiece(piece, at: offset))) }
        current = try await following
        offset = next
      }
      var finish = WireWriteChunkFinish()
      finish.length = UInt32(length)
      finish.root = tree.root.wire
      try await watch.waiting {
        try await writer.write(.finish(finish))
        try await writer.finish()
      }
    } catch let error as SourceFailure {
      throw error
    } catch {
      try Task.checkCancellation()
      // A refusal arrives on the other half of the stream, and says more than "the stream was closed".
      _ = try await result(reader, watch)
      throw error
    }
    return (tree.root, try await result(reader, watch))
  }

  private func piece(_ position: Int, _ offset: Int, _ length: Int) async throws -> HashedPiece? {
    guard offset < length else { return nil }
    do {
      return try await source.piece(of: position, offset: offset, chunkSize: chunkSize)
    } catch let error as CancellationError {
      throw error
    } catch {
      throw SourceFailure(DFSError(wrapping: error, "the source of the upload cannot be read"))
    }
  }

  private func result(
    _ reader: MessageReader<WireWriteChunkResponse>, _ watch: StallWatch
  ) async throws -> WireWriteChunkResult {
    while let answer = try await watch.waiting({ try await reader.next() }) {
      if case .result(let result)? = answer.part { return result }
    }
    throw DFSError(.unavailable, "the datanode ended the transfer without a result")
  }

  private func note(_ result: WireWriteChunkResult, _ route: WriteRoute) {
    for receipt in result.receipts {
      connection.note(NodeID(rawValue: receipt.node), .write, succeeded: true)
    }
    for failure in result.failures {
      connection.note(NodeID(rawValue: failure.node), .write, succeeded: false)
    }
  }

  /// What an attempt that failed says about the primary and about our view of the group.
  private func learn(from error: DFSError, _ route: WriteRoute, _ group: GroupID) async throws {
    switch error.code {
    case .stale:
      _ = try await connection.refresh(group)
    case .cancelled, .invalidArgument: break
    default: connection.note(route.primary, .write, succeeded: false)
    }
  }
}

/// The source of an upload failed, not the cluster: trying again does not help.
struct SourceFailure: Error {
  let error: DFSError
  init(_ error: DFSError) { self.error = error }
}

extension ChunkPiece {
  init(_ piece: HashedPiece, at offset: Int) {
    var leaves = ByteBuffer()
    leaves.reserveCapacity(piece.leaves.count * Digest.byteCount)
    for leaf in piece.leaves { _ = leaf.withUnsafeBytes { leaves.writeBytes($0) } }
    self.init(
      offset: UInt32(offset), checksums: piece.checksums, leaves: leaves, payload: .bytes(piece.payload))
  }
}
