import DFSCodec
import DFSCore
import DFSCrypto

/// What follows a chunk's payload, in its file or its record. Format 1, little-endian:
///
///     checksums     4 bytes for each block: its CRC32C
///     leaves       32 bytes for each block: its Merkle leaf
///     chunk        inode 8, index 4
///     group         4
///     length        4   bytes of the chunk
///     stored length 4   bytes of the payload, which differs from the length when an encoding shortens it
///     encoding      4   0: none. Others are reserved for compression and encryption
///     block count   4
///     key id        8   0: not encrypted
///     root         32
///     reserved      8   0
///     footer length 4   all of the above and below
///     version       4   1
///     checksum      4   CRC32C of the footer up to here
///     magic         4   "dfsc"
///
/// The last 16 bytes keep their place in every version, so that an older program can tell "newer" from
/// "damaged".
struct ChunkFooter: Hashable, Sendable {
  static let version: UInt32 = 1
  static let magic = UInt32(littleEndian: 0x6373_6664)
  static let fixedLength = 96
  static let tailLength = 16
  static let bytesPerBlock = 36
  static let largestBlockCount = Block.count(of: ChunkSize.largest)
  static let largestLength = fixedLength + bytesPerBlock * largestBlockCount

  var chunk: ChunkID
  var group: GroupID
  var length: Int
  var root: Digest
  var checksums: [UInt32]
  /// 32 bytes for each block.
  var leaves: [UInt8]

  static func encodedLength(blocks: Int) -> Int { fixedLength + bytesPerBlock * blocks }

  /// Bytes of a whole stored chunk of `length` bytes.
  static func storedLength(of length: Int) -> Int { length + encodedLength(blocks: Block.count(of: length)) }

  var description: ChunkDescription {
    ChunkDescription(
      chunk: chunk, group: group, length: length, root: root,
      storedBytes: ByteCount(Self.storedLength(of: length)))
  }

  func encoded() -> [UInt8] {
    var writer = ByteWriter()
    for checksum in checksums { writer.append(checksum) }
    writer.append(leaves)
    writer.append(chunk.inode.rawValue)
    writer.append(chunk.index)
    writer.append(group.rawValue)
    writer.append(UInt32(length))
    writer.append(UInt32(length))
    writer.append(UInt32(0))
    writer.append(UInt32(checksums.count))
    writer.append(UInt64(0))
    writer.append(root)
    writer.append(UInt64(0))
    writer.append(UInt32(Self.encodedLength(blocks: checksums.count)))
    writer.append(Self.version)
    writer.append(CRC32C.checksum(writer.bytes))
    writer.append(Self.magic)
    return writer.bytes
  }

  /// Reads the footer's length from the last 16 bytes of a stored chunk. Throws `.corrupt`, or
  /// `.unimplemented` for a newer version.
  static func length(fromTail tail: UnsafeRawBufferPointer) throws -> Int {
    var reader = ByteReader(tail)
    let length: UInt32 = try reader.number()
    let version: UInt32 = try reader.number()
    _ = try reader.number(UInt32.self)
    guard try reader.number(UInt32.self) == magic, reader.rest == 0 else {
      throw damaged("no footer at its end")
    }
    guard version <= Self.version else {
      throw DFSError(
        .unimplemented,
        "the chunk has format \(version), this program knows \(Self.version); use a newer dfsd")
    }
    guard version == Self.version, (fixedLength...largestLength).contains(Int(length)) else {
      throw damaged("impossible footer length \(length)")
    }
    return Int(length)
  }

  /// Reads the whole footer and checks it against its own checksum and its root against its leaves. Throws
  /// `.corrupt`.
  init(decoding bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count >= Self.fixedLength else { throw Self.damaged("cut short") }
    let tail = UnsafeRawBufferPointer(rebasing: bytes.suffix(Self.tailLength))
    guard try Self.length(fromTail: tail) == bytes.count else { throw Self.damaged("wrong footer length") }
    let sum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt32.self))
    guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes.dropLast(8))) == sum else {
      throw Self.damaged("footer fails its checksum")
    }
    let blocks = (bytes.count - Self.fixedLength) / Self.bytesPerBlock
    var reader = ByteReader(bytes)
    checksums = try (0..<blocks).map { _ in try reader.number(UInt32.self) }
    leaves = Array(try reader.take(blocks * Digest.byteCount))
    chunk = ChunkID(inode: InodeID(rawValue: try reader.number()), index: try reader.number())
    group = GroupID(rawValue: try reader.number())
    length = Int(try reader.number(UInt32.self))
    let stored = Int(try reader.number(UInt32.self))
    let encoding: UInt32 = try reader.number()
    let count = Int(try reader.number(UInt32.self))
    let key: UInt64 = try reader.number()
    root = try reader.digest()
    guard encoding == 0, key == 0 else {
      throw DFSError(
        .unimplemented, "chunk \(chunk) has encoding \(encoding), which this program does not know")
    }
    guard length > 0, stored == length, count == blocks, Block.count(of: length) == blocks,
      bytes.count == Self.encodedLength(blocks: blocks)
    else { throw Self.damaged("numbers that contradict each other") }
    guard MerkleTree.root(of: digests) == root else { throw Self.damaged("leaves that do not give its root") }
  }

  init(chunk: ChunkID, group: GroupID, length: Int, root: Digest, checksums: [UInt32], leaves: [UInt8]) {
    self.chunk = chunk
    self.group = group
    self.length = length
    self.root = root
    self.checksums = checksums
    self.leaves = leaves
  }

  var digests: [Digest] {
    leaves.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: Digest.byteCount).map { start in
        Digest(loading: UnsafeRawBufferPointer(rebasing: bytes[start..<start + Digest.byteCount]))
      }
    }
  }

  private static func damaged(_ how: String) -> DFSError {
    DFSError(.corrupt, "the stored chunk is damaged: \(how)")
  }
}
