import DFSCodec
import DFSCore
import DFSCrypto
import NIOCore

/// Some whole blocks on their way to a datanode, hashed in one pass over the memory they were read into.
struct HashedPiece: Sendable {
  /// Payload of one message: 15 blocks, which stay within a buffer of a MiB with the message's head.
  static let size = 15 * Block.size

  var payload: ByteBuffer
  var checksums: [UInt32]
  var leaves: [Digest]

  init(hashing payload: ByteBuffer) {
    self.payload = payload
    var checksums: [UInt32] = []
    var leaves: [Digest] = []
    let blocks = Block.count(of: payload.readableBytes)
    checksums.reserveCapacity(blocks)
    leaves.reserveCapacity(blocks)
    payload.withUnsafeReadableBytes { bytes in
      // Block by block: the second hash finds the block in the processor's cache.
      for start in stride(from: 0, to: bytes.count, by: Block.size) {
        let end = min(start + Block.size, bytes.count)
        let block = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
        checksums.append(CRC32C.checksum(block))
        leaves.append(MerkleTree.leaf(block))
      }
    }
    self.checksums = checksums
    self.leaves = leaves
  }
}

/// Where an upload's bytes come from, chunk by chunk. What is asked for may be asked for again until it is
/// released.
protocol ChunkSource: Sendable {
  /// The length of the whole, when it is known before it was read.
  var length: Int64? { get }

  /// The modification time and the permissions that the stored file should get.
  var attributes: SourceAttributes { get }

  /// Makes the bytes of the next position available, at most `chunkSize` of them; false when the source has
  /// no more. Called for one position after the other, and only when `length` is not known.
  func fill(_ position: Int, chunkSize: Int) async throws -> Bool

  /// The length of a chunk whose bytes are available.
  func length(of position: Int, chunkSize: Int) -> Int

  /// The piece that begins at `offset` in the chunk; `HashedPiece.size` bytes or what is left.
  func piece(of position: Int, offset: Int, chunkSize: Int) async throws -> HashedPiece

  /// The chunk is durable. Should it be needed again all the same, `refill` brings it back.
  func release(_ position: Int)

  /// Whether `piece` can give a chunk that was released.
  var isRereadable: Bool { get }

  /// Gives back the bytes of a chunk that was released, for a source that cannot be read again: pieces of
  /// `HashedPiece.size`, the last one shorter.
  func refill(_ position: Int, with pieces: [ByteBuffer]) async throws

  /// Throws `.failedPrecondition` when the source changed while it was read.
  func checkUnchanged() async throws
}

struct SourceAttributes: Sendable {
  var mode: UInt16?
  var modified: Timestamp?
}

extension HashedPiece {
  /// The Merkle root of a whole content.
  static func root(of content: ByteBuffer) -> Digest {
    content.withUnsafeReadableBytes { MerkleTree.root(of: MerkleTree.leaves(of: $0)) }
  }
}
