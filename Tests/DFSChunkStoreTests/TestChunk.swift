import DFSChunkStore
import DFSCodec
import DFSCore
import DFSCrypto
import TestSupport
import Testing

/// A chunk's bytes with everything that a client computes of them.
struct TestChunk: Sendable {
  var id: ChunkID
  var group: GroupID
  var bytes: [UInt8]
  var checksums: [UInt32]
  var leaves: [UInt8]
  var root: Digest

  init(_ inode: UInt64, _ index: UInt32 = 0, group: UInt32 = 1, bytes: [UInt8]) {
    id = ChunkID(inode: InodeID(rawValue: inode), index: index)
    self.group = GroupID(rawValue: group)
    self.bytes = bytes
    let digests = bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) }
    leaves = digests.flatMap(\.bytes)
    root = MerkleTree.root(of: digests)
    checksums = stride(from: 0, to: bytes.count, by: Block.size).map { start in
      CRC32C.checksum(Array(bytes[start..<min(start + Block.size, bytes.count)]))
    }
  }

  init(_ inode: UInt64, _ index: UInt32 = 0, group: UInt32 = 1, length: Int, seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed &+ inode)
    // A random block repeated with a changing word: quick to make in a debug build, different in every block.
    let pattern = generator.bytes(251)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(length + 256)
    while bytes.count < length {
      withUnsafeBytes(of: bytes.count) { bytes.append(contentsOf: $0) }
      bytes.append(contentsOf: pattern)
    }
    self.init(inode, index, group: group, bytes: Array(bytes.prefix(length)))
  }

  var plan: ChunkPlan {
    ChunkPlan(chunk: id, group: group, largestLength: max(bytes.count, 8 << 20), length: nil)
  }

  /// Appends the blocks `blocks` to a writer.
  func append(_ blocks: Range<Int>, to writer: any ChunkWriter) throws {
    let range = blocks.lowerBound * Block.size..<min(blocks.upperBound * Block.size, bytes.count)
    let leaves = leaves[blocks.lowerBound * 32..<blocks.upperBound * 32]
    try bytes[range].withUnsafeBytes { payload in
      try leaves.withUnsafeBytes {
        try writer.append(payload, checksums: Array(checksums[blocks]), leaves: $0)
      }
    }
  }

  /// Writes the chunk in pieces of `step` blocks.
  @discardableResult
  func write(to store: any ChunkStore, step: Int = 4, length: Int? = nil) throws -> ChunkDescription {
    var plan = plan
    plan.length = length
    let writer = try store.begin(plan)
    for start in stride(from: 0, to: checksums.count, by: step) {
      try append(start..<min(start + step, checksums.count), to: writer)
    }
    return try writer.finish(length: bytes.count, root: root)
  }

  func read(from store: any ChunkStore) throws -> [UInt8] {
    let reader = try store.open(id, in: group)
    return try reader.allBytes()
  }
}

extension ChunkReader {
  func allBytes() throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: description.length)
    try bytes.withUnsafeMutableBytes { try read(0..<checksums.count, into: $0) }
    return bytes
  }
}

/// Expects a `DFSError` with this code.
func expectError(
  _ code: DFSError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
  do {
    try body()
    Issue.record("expected \(code.rawValue), nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as DFSError {
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
  } catch {
    Issue.record("expected \(code.rawValue), got \(error)", sourceLocation: sourceLocation)
  }
}
