import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Logging
import NIOCore

/// An order of the coordinator to get chunks from other nodes: repair. Each chunk is verified on arrival and
/// durable before it is answered for; one that is here already costs nothing.
///
/// A chunk that can not be had or kept is an answer of its own and no end of the call. Cancelling the call
/// forgets what is half there.
extension DataNodeService {
  func copyChunks(
    _ request: WireCopyChunksRequest, _ writer: MessageWriter<WireCopyChunksResponse>, _ context: CallContext
  ) async throws {
    try checkAddressee(request.node)
    let order = try CopyOrder(request)
    try await disk.run { [membership] in
      try membership.obey(order.epoch, in: order.group, at: order.groupEpoch)
    }
    var (copied, failed, bytes) = (0, 0, UInt64(0))
    try await withThrowingTaskGroup(of: WireCopyChunksResponse.self) { group in
      var waiting = order.chunks.makeIterator()
      for _ in 0..<Self.chunksAhead {
        if let chunk = waiting.next() { group.addTask { try await self.answer(chunk, under: order) } }
      }
      while let answer = try await group.next() {
        try await writer.write(answer)
        if answer.reason.isEmpty { copied += 1 } else { failed += 1 }
        bytes += answer.copiedBytes
        if let chunk = waiting.next() { group.addTask { try await self.answer(chunk, under: order) } }
      }
    }
    logger.info(
      "an order to copy chunks is done",
      metadata: [
        "group": "\(order.group)", "chunks": "\(copied)", "failed": "\(failed)",
        "copied": "\(ByteCount(bytes))",
      ])
  }

  /// Chunks of one order that wait for a slot or have one.
  private static let chunksAhead = 8

  private func answer(
    _ wanted: CopyOrder.Chunk, under order: CopyOrder
  ) async throws -> WireCopyChunksResponse {
    var plan = CopyPlan(chunk: wanted.chunk, sources: wanted.sources.map(\.node))
    var answer = WireCopyChunksResponse()
    answer.chunk = WireChunkId(wanted.chunk)
    do {
      let bytes = try await copySlots.run { try await self.copy(wanted, under: order, &plan) }
      answer.copiedBytes = UInt64(bytes)
    } catch {
      try Task.checkCancellation()
      let error = DFSError(wrapping: error, "copying chunk \(wanted.chunk) failed")
      failedCopies.increment()
      logger.warning(
        "a chunk was not copied", metadata: ["chunk": "\(wanted.chunk)", "reason": "\(error)"])
      answer.reason = error.code.rawValue
      answer.message = String(error.description.prefix(512))
    }
    answer.badSources = plan.badSources.map(\.rawValue)
    return answer
  }

  /// Returns the bytes that were copied: none when the chunk is here.
  private func copy(
    _ wanted: CopyOrder.Chunk, under order: CopyOrder, _ plan: inout CopyPlan
  ) async throws -> Int {
    guard !membership.isStopping else {
      throw DFSError(.unavailable, "node \(identity.node) is stopping; copy elsewhere or later")
    }
    // The order may be long: what has changed since it began counts.
    try membership.checkOrder(order.epoch, in: order.group, at: order.groupEpoch)
    let incoming = IncomingChunk(wanted, in: store, syncTime: syncTime)
    guard try await begin(incoming) else { return 0 }
    do {
      while true {
        let source = wanted.sources[try plan.nextSource()]
        do {
          try await pull(incoming, from: source)
          copiedChunks.increment()
          return wanted.length
        } catch CopyFault.own(let error) {
          throw error
        } catch {
          try Task.checkCancellation()
          let fault = (error as? CopyFault)?.sourceError ?? error
          let error = DFSError(wrapping: fault, "reading from node \(source.node) failed")
          plan.failed(error)
          logger.warning(
            "a source does not deliver a chunk",
            metadata: ["chunk": "\(wanted.chunk)", "source": "\(source.node)", "reason": "\(error)"])
        }
      }
    } catch {
      // Cancellation must not skip this: the claim and the temporary file go now.
      await Task { [disk] in try? await disk.run { incoming.abort() } }.value
      throw error
    }
  }

  /// Makes room for the chunk; false when it is here. A damaged copy is moved aside. A sound chunk with another
  /// content stays until the one that the metadata names has come.
  private func begin(_ incoming: IncomingChunk) async throws -> Bool {
    let wanted = incoming.wanted
    let (isHere, fault) = try await disk.run { [store] () throws -> (Bool, DFSError?) in
      do {
        if let found = try store.confirm(wanted.chunk, in: wanted.group) {
          if found.root == wanted.root, found.length == wanted.length { return (true, nil) }
          _ = try store.verify(wanted.chunk, in: wanted.group)
          try incoming.begin()
          return (
            false,
            DFSError(.alreadyExists, "it has the root \(found.root), and \(wanted.root) is what is wanted")
          )
        }
      } catch let error as DFSError where error.code == .corrupt {
        let isMoved = try store.quarantineUnlessSound(wanted.chunk, in: wanted.group)
        try incoming.begin()
        return (false, isMoved ? error : nil)
      }
      try incoming.begin()
      return (false, nil)
    }
    if let fault {
      if fault.code == .corrupt { corruptChunks.increment() }
      logger.error(
        fault.code == .corrupt
          ? "a bad replica was moved aside for a good one"
          : "a sound replica is not the chunk that its id stands for: it goes aside when that has come",
        metadata: ["chunk": "\(wanted.chunk)", "group": "\(wanted.group)", "reason": "\(fault)"])
    }
    return !isHere
  }

  /// Gets the rest of the chunk from one source; the chunk is durable when it returns.
  private func pull(_ incoming: IncomingChunk, from source: CopyOrder.Source) async throws {
    let (wanted, offset) = (incoming.wanted, incoming.offset)
    let request = WireReadChunkRequest.with {
      $0.chunk = WireChunkId(wanted.chunk)
      $0.group = wanted.group.rawValue
      $0.offset = UInt32(offset)
      $0.length = UInt32(wanted.length - offset)
      $0.root = wanted.root.wire
      $0.withoutLeaves = incoming.hasLeaves
      $0.node = source.node.rawValue
    }
    let watch = StallWatch()
    let (channel, limit) = (peers.channel(to: source.endpoint), patience.lastResort)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await watch.stalled(after: limit)
        throw DFSError(.unavailable, "node \(source.node) was silent for \(limit)")
      }
      group.addTask {
        let options = CallOptions(metadata: ReadPurpose.repairMetadata)
        try await watch.waiting {
          try await channel.call(DataNodeMethods.readChunk, request, options: options) { reader in
            try await self.receive(reader, into: incoming, watch)
          }
        }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func receive(
    _ reader: MessageReader<ReadChunkPart>, into incoming: IncomingChunk, _ watch: StallWatch
  ) async throws {
    let chunk = incoming.wanted.chunk
    guard case .header(let header)? = try await watch.waiting({ try await reader.next() }) else {
      throw CopyFault.source(DFSError(.corrupt, "the source of chunk \(chunk) answers without a header"))
    }
    if !incoming.hasLeaves {
      try incoming.take(header, leaves: ByteBuffer(bytes: header.leaves).digests)
    }
    while true {
      guard case .data(let piece)? = try await watch.waiting({ try await reader.next() }) else {
        throw DFSError(.unavailable, "the source ended chunk \(chunk) too early")
      }
      let (isDurable, took) = try await disk.run {
        let start = ContinuousClock.now
        return (try incoming.take(piece) != nil, ContinuousClock.now - start)
      }
      copiedBytes.increment(by: piece.payload.byteCount)
      try await pacer.rest(after: piece.payload.byteCount, took: took)
      if isDurable { return }
    }
  }
}

extension CopyFault {
  fileprivate var sourceError: DFSError? { if case .source(let error) = self { error } else { nil } }
}
