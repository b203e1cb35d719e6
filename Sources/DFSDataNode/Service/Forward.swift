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
  /// Sends a transfer's frames to another member, with the same buffers that this node stores, until the member has
  /// answered, failed or was dropped.
  func send(_ transfer: Transfer, member: Int, to forward: Forward) async {
    do {
      let result = try await peers.channel(to: forward.endpoint).call(DataNodeMethods.writeChunk) {
        writer, reader in
        try await withThrowingTaskGroup(of: WireWriteChunkResult?.self) { group in
          group.addTask {
            try await writer.write(.open(forward.opening))
            while let parts = await transfer.parts(for: member) {
              for part in parts { try await writer.write(part.message) }
            }
            return nil
          }
          group.addTask { try await Self.result(from: reader) { transfer.progress(member, to: $0) } }
          // Cancels the two above, which may wait for a peer that is stopped.
          group.addTask {
            await transfer.departure(of: member)
            throw CancellationError()
          }
          defer { group.cancelAll() }
          while let result = try await group.next() {
            if let result { return result }
          }
          throw CancellationError()
        }
      }
      guard let receipt = result.receipts.first(where: { $0.node == forward.node.rawValue }) else {
        throw DFSError(.internal, "node \(forward.node) answered without a receipt")
      }
      transfer.complete(member, with: receipt)
    } catch {
      transfer.fail(member, DFSError(wrapping: error, "sending to node \(forward.node) failed"))
    }
  }

  private static func result(
    from reader: MessageReader<WireWriteChunkResponse>, progress: (Int) -> Void
  ) async throws -> WireWriteChunkResult {
    while let response = try await reader.next() {
      switch response.part {
      case .received(let count): progress(Int(count))
      case .result(let result): return result
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
