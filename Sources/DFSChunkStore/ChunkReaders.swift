import DFSCore
import DFSCrypto

/// Reads a chunk that is a file of its own.
final class FileChunkReader: ChunkReader {
  private let chunk: OpenChunk
  let isReadAgain: Bool

  init(_ chunk: OpenChunk, isReadAgain: Bool) {
    self.chunk = chunk
    self.isReadAgain = isReadAgain
  }

  // The file may be kept open for long, and descriptors are few.
  deinit { chunk.file.endPages() }

  var description: ChunkDescription { chunk.footer.description }
  var checksums: [UInt32] { chunk.footer.checksums }
  var leaves: [UInt8] { chunk.footer.leaves }

  func readUnchecked(_ blocks: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws {
    let range = try range(of: blocks, buffer.count)
    // Blocks begin at a page; the last of a chunk need not end at one.
    let whole = buffer.count - buffer.count % Page.size
    let pages = UnsafeMutableRawBufferPointer(rebasing: buffer[..<whole])
    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[whole...])
    var count = pages.isEmpty ? 0 : try chunk.file.readPages(into: pages, at: range.lowerBound)
    if count == whole, !rest.isEmpty {
      count += try chunk.file.read(into: rest, at: range.lowerBound + whole)
    }
    guard count == range.count else {
      throw DFSError(.corrupt, "chunk \(description.chunk) is shorter than its footer says")
    }
  }

  func fileRegion(_ blocks: Range<Int>) -> ChunkFileRegion? {
    let range = bytes(of: blocks)
    return chunk.file.descriptor.map {
      ChunkFileRegion(descriptor: $0, offset: range.lowerBound, length: range.count)
    }
  }

  func prefetch(_ blocks: Range<Int>) throws { try chunk.file.prefetch(bytes(of: blocks)) }
}

/// Reads a small chunk, which is in memory as a whole: at most 256 KiB.
final class SmallChunkReader: ChunkReader {
  private let payload: [UInt8]
  private let footer: ChunkFooter

  init(_ payload: [UInt8], _ footer: ChunkFooter) {
    self.payload = payload
    self.footer = footer
  }

  var description: ChunkDescription { footer.description }
  var checksums: [UInt32] { footer.checksums }
  var leaves: [UInt8] { footer.leaves }
  /// It is in memory, and needs no place anywhere.
  var isReadAgain: Bool { true }

  func readUnchecked(_ blocks: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws {
    let range = try range(of: blocks, buffer.count)
    payload.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  func fileRegion(_ blocks: Range<Int>) -> ChunkFileRegion? { nil }
  func prefetch(_ blocks: Range<Int>) throws {}
}

extension ChunkReader {
  /// Blocks read at once when a whole chunk is verified: 1 MiB.
  private static var verifyStep: Int { 16 }

  fileprivate func range(of blocks: Range<Int>, _ count: Int) throws -> Range<Int> {
    guard blocks.lowerBound >= 0, blocks.upperBound <= checksums.count, bytes(of: blocks).count == count
    else {
      throw DFSError(
        .invalidArgument,
        "chunk \(description.chunk) has \(checksums.count) blocks; \(blocks) was asked of it")
    }
    return bytes(of: blocks)
  }

  /// Reads everything and compares with checksums and leaves; the leaves were compared with the root when the
  /// chunk was opened.
  func verify() throws {
    let leaves = leaves
    for start in stride(from: 0, to: checksums.count, by: Self.verifyStep) {
      let blocks = start..<min(start + Self.verifyStep, checksums.count)
      try withUnsafeTemporaryAllocation(byteCount: bytes(of: blocks).count, alignment: Page.size) {
        buffer in
        try read(blocks, into: buffer)
        let found = MerkleTree.leaves(of: UnsafeRawBufferPointer(buffer))
        for (block, leaf) in zip(blocks, found) {
          let stored = leaves[block * Digest.byteCount..<(block + 1) * Digest.byteCount]
          guard stored.elementsEqual(leaf.bytes) else {
            throw DFSError(.corrupt, "chunk \(description.chunk) fails the hash of block \(block)")
          }
        }
      }
    }
  }
}
