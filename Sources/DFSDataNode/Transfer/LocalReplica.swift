import DFSChunkStore
import DFSCore
import DFSWire
import Metrics
import NIOConcurrencyHelpers
import NIOCore

/// This node's own replica of a chunk that arrives. Its functions block on disk and are called one after
/// another.
final class LocalReplica: Sendable {
  private let plan: ChunkPlan
  private let store: any ChunkStore
  private let syncTime: Timer
  private let sink = NIOLockedValueBox<(any ChunkWriter)?>(nil)

  init(_ plan: ChunkPlan, in store: any ChunkStore, syncTime: Timer) {
    self.plan = plan
    self.store = store
    self.syncTime = syncTime
  }

  var hasBegun: Bool { sink.withLockedValue { $0 != nil } }

  /// Claims the space. Throws `.exhausted` and `.unavailable` as the store does.
  func begin() throws {
    let begun = try store.begin(plan)
    sink.withLockedValue { $0 = begun }
  }

  /// Appends every frame; with the end among them, makes the chunk durable and returns it. Tells the transfer
  /// of its progress, unless the end is near enough.
  func take(_ parts: [Transfer.Part], for transfer: Transfer) throws -> ChunkDescription? {
    guard let sink = sink.withLockedValue({ $0 }) else {
      throw DFSError(.internal, "chunk \(plan.chunk) was not begun")
    }
    let isLast = if case .finish? = parts.last { true } else { false }
    for part in parts {
      switch part {
      case .data(let piece):
        try sink.append(piece)
        if !isLast { transfer.progress(0, to: sink.length) }
      case .finish(let finish):
        let root = try Digest(wire: finish.root, "the root of a chunk")
        let start = ContinuousClock.now
        let stored = try sink.finish(length: Int(finish.length), root: root)
        syncTime.record(duration: ContinuousClock.now - start)
        return stored
      }
    }
    return nil
  }

  /// Forgets what was not finished.
  func abort() { sink.withLockedValue { $0 }?.abort() }
}

extension ChunkWriter {
  fileprivate func append(_ piece: ChunkPiece) throws {
    guard case .bytes(let payload) = piece.payload else {
      throw DFSError(.internal, "a received piece has its bytes in memory")
    }
    try payload.withUnsafeReadableBytes { bytes in
      try piece.leaves.withUnsafeReadableBytes { leaves in
        try append(bytes, checksums: piece.checksums, leaves: leaves)
      }
    }
  }
}
