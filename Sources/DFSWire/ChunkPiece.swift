package import DFSCore
package import NIOCore

/// A run of whole blocks of one chunk on its way: `dfs.v1.ChunkData` with a payload that nobody copies.
package struct ChunkPiece: Sendable {
  package enum Payload: Sendable {
    case bytes(ByteBuffer)
    /// Memory of a budget, which is held until the bytes have left. Only ever sent, never received.
    case lent(ByteBuffer, MemoryLoan)
    /// Only ever sent, never received.
    case file(FileRegion)

    package var byteCount: Int {
      switch self {
      case .bytes(let buffer), .lent(let buffer, _): buffer.readableBytes
      case .file(let region): region.readableBytes
      }
    }
  }

  /// Largest payload of one piece: 1 MiB.
  package static let largestPayload = 1 << 20

  /// Position in the chunk, a multiple of 64 KiB.
  package var offset: UInt32
  /// CRC32C of each block.
  package var checksums: [UInt32]
  /// Merkle leaf of each block, 32 bytes each; empty when a reader is served.
  package var leaves: ByteBuffer
  package var payload: Payload

  package init(offset: UInt32, checksums: [UInt32], leaves: ByteBuffer, payload: Payload) {
    self.offset = offset
    self.checksums = checksums
    self.leaves = leaves
    self.payload = payload
  }
}

/// One message of `WriteChunk`'s request stream.
package enum WriteChunkPart: Sendable {
  case open(WireWriteChunkOpen)
  case data(ChunkPiece)
  case finish(WireWriteChunkFinish)
}

/// One message of `ReadChunk`'s answer.
package enum ReadChunkPart: Sendable {
  case header(WireReadChunkHeader)
  case data(ChunkPiece)
}
