import DFSCore
import DFSRPC
import DFSWire

/// Another member of a transfer, and what is said to it first.
struct Forward: Sendable {
  let node: NodeID
  let endpoint: Endpoint
  let opening: WireWriteChunkOpen

  /// Throws `.invalidArgument` for an address that is none.
  init(_ member: WireNodeAddress, of open: WireWriteChunkOpen) throws {
    node = NodeID(rawValue: member.node)
    endpoint = try Endpoint(member.address)
    var opening = open
    opening.forwardTo = []
    opening.node = member.node
    self.opening = opening
  }
}

extension DataNodeService {
  /// Sends a transfer's frames to another member, with the same buffers that this node stores, until the
  /// member has answered, failed or was dropped.
  func send(_ transfer: Transfer, member: Int, to forward: Forward) async {
    do {
      try await peers.channel(to: forward.endpoint).call(DataNodeMethods.writeChunk) { writer, reader in
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await Self.pass(transfer, member, to: writer, opening: forward.opening) }
          group.addTask { try await self.take(from: forward.node, transfer, member, by: reader) }
          group.addTask {
            // Cancels the two above, which may wait for a peer that is stopped.
            await transfer.departure(of: member)
            throw CancellationError()
          }
          defer { group.cancelAll() }
          do {
            while try await group.next() != nil {}
          } catch {
            // Before the group waits for its tasks: they wait for the member's departure.
            transfer.fail(member, DFSError(wrapping: error, "sending to node \(forward.node) failed"))
            throw error
          }
        }
      }
    } catch {
      // Does nothing when the member has ended before, as it does after its receipt.
      transfer.fail(member, DFSError(wrapping: error, "sending to node \(forward.node) failed"))
    }
  }

  private static func pass(
    _ transfer: Transfer, _ member: Int, to writer: MessageWriter<WriteChunkPart>, opening: WireWriteChunkOpen
  ) async throws {
    try await writer.write(.open(opening))
    while let parts = await transfer.parts(for: member) {
      for part in parts { try await writer.write(part.message) }
    }
  }

  private func take(
    from node: NodeID, _ transfer: Transfer, _ member: Int, by reader: MessageReader<WireWriteChunkResponse>
  ) async throws {
    while let response = try await reader.next() {
      switch response.part {
      case .received(let count): transfer.progress(member, to: Int(count))
      case .result(let result):
        guard let receipt = result.receipts.first(where: { $0.node == node.rawValue }) else {
          throw DFSError(.internal, "node \(node) answered without a receipt")
        }
        transfers.acquit(node)
        return transfer.complete(member, with: receipt)
      case nil: throw DFSError(.invalidArgument, "an answer of WriteChunk is empty")
      }
    }
    throw DFSError(.unavailable, "the transfer ended without a result")
  }
}

extension Transfer.Part {
  fileprivate var message: WriteChunkPart {
    switch self {
    case .data(let piece): .data(piece)
    case .finish(let finish): .finish(finish)
    }
  }
}
