import DFSCodec
import DFSCore
import DFSCrypto
import DFSWire
import NIOCore
import TestSupport

/// A chunk of random bytes, with what a client sends of it.
struct ChunkSample: Sendable {
  let chunk: ChunkID
  let bytes: [UInt8]
  let leaves: [Digest]
  let root: Digest

  init(inode: UInt64 = .random(in: 1...UInt64.max), index: UInt32 = 0, length: Int, seed: UInt64) {
    chunk = ChunkID(inode: InodeID(rawValue: inode), index: index)
    var random = SeededGenerator(seed: seed)
    var bytes = [UInt8]()
    bytes.reserveCapacity(length + 8)
    while bytes.count < length { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
    bytes.removeLast(bytes.count - length)
    self.bytes = bytes
    leaves = bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) }
    root = MerkleTree.root(of: leaves)
  }

  /// Pieces of `size` bytes, whole blocks each.
  func pieces(of size: Int = ChunkPiece.largestPayload) -> [ChunkPiece] {
    stride(from: 0, to: bytes.count, by: size).map { start in
      let part = bytes[start..<min(start + size, bytes.count)]
      let checksums = stride(from: part.startIndex, to: part.endIndex, by: Block.size).map {
        CRC32C.checksum(Array(part[$0..<min($0 + Block.size, part.endIndex)]))
      }
      var leafBytes = ByteBuffer()
      for leaf in leaves[start / Block.size..<start / Block.size + checksums.count] {
        leafBytes.writeBytes(leaf.bytes)
      }
      return ChunkPiece(
        offset: UInt32(start), checksums: checksums, leaves: leafBytes,
        payload: .bytes(ByteBuffer(bytes: part)))
    }
  }

  var finish: WireWriteChunkFinish {
    .with {
      $0.length = UInt32(bytes.count)
      $0.root = root.wire
    }
  }
}
