import DFSCore
import DFSWire

/// Checks that the pieces of a transfer follow one another, before any member gets them.
///
/// That blocks match their CRC32C and that the leaves have the announced root is each member's store's check;
/// that the leaves match the payload is the reader's, and the scrub's.
struct PieceOrder {
  let chunk: ChunkID
  let maxLength: Int
  private(set) var length = 0

  init(chunk: ChunkID, maxLength: Int) {
    self.chunk = chunk
    self.maxLength = maxLength
  }

  /// Throws `.invalidArgument` for a piece that does not follow the one before.
  mutating func admit(_ piece: ChunkPiece) throws {
    let count = piece.payload.byteCount
    guard piece.offset == length else {
      throw refuse("has a piece at \(piece.offset) where \(length) was due")
    }
    guard length % Block.size == 0 else { throw refuse("goes on after a short block") }
    guard length + count <= maxLength else { throw refuse("is longer than \(maxLength) bytes") }
    guard piece.leaves.readableBytes == Block.count(of: count) * Digest.byteCount else {
      throw refuse("came without the leaves of its blocks")
    }
    length += count
  }

  /// Throws `.invalidArgument` unless `finish` names the length of what came.
  func check(_ finish: WireWriteChunkFinish) throws {
    guard length > 0 else { throw refuse("is empty") }
    guard Int(finish.length) == length else {
      throw refuse("has \(length) bytes, its end says \(finish.length)")
    }
  }

  private func refuse(_ why: String) -> DFSError {
    DFSError(.invalidArgument, "chunk \(chunk) \(why)", metadata: ["chunk": chunk.description])
  }
}
