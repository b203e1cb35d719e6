import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire

/// Writing one chunk: the node stores the frames and, when it is the head of the transfer, hands each of them
/// to the other members as it arrives. A forwarded transfer is the same thing without others.
extension DataNodeService {
  func writeChunk(
    _ reader: MessageReader<WriteChunkPart>, _ writer: MessageWriter<WireWriteChunkResponse>,
    _ context: CallContext
  ) async throws {
    guard case .open(let open)? = try await reader.next() else {
      throw DFSError(.invalidArgument, "a transfer begins with its opening")
    }
    let plan = try admit(open)
    let forwards = try open.forwardTo.map { try Forward($0, of: open) }
    let nodes = [identity.node] + forwards.map(\.node)
    guard Set(nodes).count == nodes.count else {
      throw DFSError(.invalidArgument, "a transfer of \(plan.chunk) names one node twice")
    }
    let transfer = try transfers.begin { suspects in
      Transfer(chunk: plan.chunk, members: nodes, suspects: suspects, patience: patience, clock: clock) {
        [transfers] in transfers.window
      }
    }
    defer { transfers.remove(transfer) }
    try await withTaskCancellationHandler {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await self.keep(plan, at: GroupEpoch(rawValue: open.groupEpoch), for: transfer) }
        for (index, forward) in forwards.enumerated() {
          group.addTask { await self.send(transfer, member: index + 1, to: forward) }
        }
        group.addTask { await self.receive(reader, plan, for: transfer) }
        defer {
          transfer.end(DFSError(.cancelled, "the transfer of \(plan.chunk) is over"))
          group.cancelAll()
        }
        try await self.answer(writer, for: transfer)
      }
    } onCancel: {
      transfer.end(DFSError(.cancelled, "the sender gave the transfer of \(plan.chunk) up"))
    }
  }

  private func admit(_ open: WireWriteChunkOpen) throws -> ChunkPlan {
    try checkAddressee(open.node)
    guard open.hasChunk else { throw DFSError(.invalidArgument, "a transfer needs a chunk id") }
    let chunk = ChunkID(open.chunk)
    guard (1...UInt32(ChunkSize.largest)).contains(open.maxLength) else {
      throw DFSError(.invalidArgument, "a chunk has 1 byte to 64 MiB, not \(open.maxLength)")
    }
    if open.hasLength, !(1...open.maxLength).contains(open.length) {
      throw DFSError(
        .invalidArgument, "chunk \(chunk) of \(open.length) bytes passes its limit of \(open.maxLength)")
    }
    guard open.forwardTo.count < Self.mostMembers else {
      throw DFSError(.invalidArgument, "a group has at most \(Self.mostMembers) members")
    }
    let group = GroupID(rawValue: open.group)
    try membership.admitWrite(to: group, at: GroupEpoch(rawValue: open.groupEpoch), now: clock.now())
    return ChunkPlan(
      chunk: chunk, group: group, largestLength: Int(open.maxLength),
      length: open.hasLength ? Int(open.length) : nil)
  }

  /// R is at most 5.
  private static let mostMembers = 5

  // MARK: The sender's frames

  private func receive(_ reader: MessageReader<WriteChunkPart>, _ plan: ChunkPlan, for transfer: Transfer)
    async
  {
    var order = PieceOrder(chunk: plan.chunk, maxLength: plan.length ?? plan.largestLength)
    do {
      while let part = try await reader.next() {
        switch part {
        case .open: throw DFSError(.invalidArgument, "a transfer of \(plan.chunk) was opened twice")
        case .data(let piece):
          try order.admit(piece)
          receivedBytes.increment(by: piece.payload.byteCount)
          pacer.noteForeground()
          try await transfer.accept(piece)
        case .finish(let finish):
          try order.check(finish)
          return transfer.finish(finish)
        }
      }
      throw DFSError(.cancelled, "the sender of \(plan.chunk) stopped before the end")
    } catch {
      transfer.end(DFSError(wrapping: error, "receiving chunk \(plan.chunk) failed"))
    }
  }

  private func answer(_ writer: MessageWriter<WireWriteChunkResponse>, for transfer: Transfer) async throws {
    while true {
      switch try await transfer.news() {
      case .received(let count):
        try await writer.write(.with { $0.received = UInt32(count) })
      case .complete(let receipts, let failures):
        for failure in failures {
          logger.warning(
            "a chunk has a replica less",
            metadata: [
              "chunk": "\(transfer.chunk)", "node": "\(NodeID(rawValue: failure.node))",
              "reason": "\(failure.message)",
            ])
        }
        return try await writer.write(
          .with {
            $0.result.receipts = receipts
            $0.result.failures = failures
          })
      }
    }
  }

  // MARK: This node's replica

  /// Writes what arrives; durable before its receipt exists. Everything but a finished chunk is removed
  /// again.
  ///
  /// Space is claimed at once, and a refusal ends the whole transfer: the sender is better served by a head
  /// that has room. What has arrived until a disk thread is free is written in the same visit, so a small
  /// chunk takes one.
  private func keep(_ plan: ChunkPlan, at epoch: GroupEpoch, for transfer: Transfer) async {
    let replica = LocalReplica(plan, in: store, syncTime: syncTime)
    do {
      var stored = try await disk.run {
        try replica.begin()
        return try replica.take(transfer.partsAtHand(for: 0), for: transfer)
      }
      while stored == nil, let parts = await transfer.parts(for: 0) {
        stored = try await disk.run { try replica.take(parts, for: transfer) }
      }
      if let stored { return transfer.complete(0, with: try membership.receipt(for: stored, at: epoch)) }
    } catch {
      let error = DFSError(wrapping: error, "storing chunk \(plan.chunk) failed")
      if replica.hasBegun { transfer.fail(0, error) } else { transfer.end(error) }
    }
    // Cancellation must not skip this: the claim and the temporary file go now, not when the last reference
    // does.
    await Task { [disk] in try? await disk.run { replica.abort() } }.value
  }
}
