/// The unit of checksums, on the wire and on disk: 64 KiB. The last block of a chunk may be shorter.
public enum Block {
  public static let size = 64 << 10
  /// How many blocks `length` bytes take; no bytes take none.
  public static func count(of length: Int) -> Int { (length + size - 1) / size }
}

/// What the disk reads and writes past the page cache: whole pages, to and from memory that begins at one.
package enum Page {
  package static let size = 4 << 10

  /// How many bytes after `address` the next page begins; none at the beginning of one.
  package static func distance(from address: UnsafeRawPointer?) -> Int {
    Int((0 &- UInt(bitPattern: address)) % UInt(size))
  }
}

/// The length of every chunk of a file but the last: 64 KiB times a power of two, at most 64 MiB, so that a
/// chunk's Merkle root is a node of its file's tree.
public struct ChunkSize: Hashable, Sendable, CustomStringConvertible {
  public static let smallest = Block.size
  public static let largest = 64 << 20
  public static let standard = ChunkSize(unchecked: 8 << 20)

  public let bytes: Int

  public init?(bytes: Int) {
    guard bytes >= Self.smallest, bytes <= Self.largest, bytes.nonzeroBitCount == 1 else { return nil }
    self.bytes = bytes
  }
  private init(unchecked bytes: Int) { self.bytes = bytes }

  /// The number of chunks of a file of `length` bytes; an empty file has none.
  public func chunkCount(of length: Int64) -> Int64 { length <= 0 ? 0 : (length - 1) / Int64(bytes) + 1 }
  public var description: String { ByteCount(bytes).description }
}
