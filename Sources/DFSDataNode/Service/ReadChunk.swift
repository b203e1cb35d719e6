import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOCore

/// Reading a range of one chunk: whole blocks, with their checksums from the footer, at most 1 MiB a piece.
///
/// A chunk that is a file is sent from the page cache without being touched: the reader compares every block with
/// its leaf, so a bad one is found there, and reported back. A small chunk comes from the database, checked.
extension DataNodeService {
  func readChunk(
    _ request: WireReadChunkRequest, _ writer: MessageWriter<ReadChunkPart>, _ context: CallContext
  ) async throws {
    try checkAddressee(request.node)
    guard request.hasChunk else { throw DFSError(.invalidArgument, "a read needs a chunk id") }
    let chunk = ChunkID(request.chunk)
    let group = GroupID(rawValue: request.group)
    let wanted = request.root.isEmpty ? nil : try Digest(wire: request.root, "the expected root")
    try await reportingCorruption(of: chunk, in: group) {
      let source = try await self.disk.run { [store = self.store] in try store.open(chunk, in: group) }
      let found = source.description
      if let wanted, wanted != found.root {
        throw DFSError(
          .corrupt, "chunk \(chunk) on node \(self.identity.node) has another root than expected",
          metadata: ["chunk": chunk.description, "fault": Self.otherRoot])
      }
      let blocks = try Self.blocks(of: request, in: found)
      try await writer.write(
        .header(
          .with {
            $0.length = UInt32(found.length)
            if !request.withoutLeaves { $0.leaves = Data(source.leaves) }
          }))
      try await self.send(blocks, of: source, to: writer)
    }
  }

  /// Marks a reader whose expectation differs from a replica that is sound in itself.
  private static let otherRoot = "other_root"

  private static func blocks(of request: WireReadChunkRequest, in chunk: ChunkDescription) throws -> Range<Int> {
    let offset = Int(request.offset)
    let end = request.length == 0 ? chunk.length : offset + Int(request.length)
    guard offset < chunk.length, end <= chunk.length else {
      throw DFSError(
        .invalidArgument, "bytes \(offset) to \(end) are outside of chunk \(chunk.chunk), which has \(chunk.length)",
        metadata: ["length": String(chunk.length)])
    }
    return offset / Block.size..<Block.count(of: end)
  }

  private func send(
    _ blocks: Range<Int>, of source: any ChunkReader, to writer: MessageWriter<ReadChunkPart>
  ) async throws {
    let checksums = source.checksums
    let file = try source.fileRegion(blocks).map { try FileHandle(duplicating: $0.descriptor) }
    defer { file?.close() }
    var next = blocks.lowerBound
    while next < blocks.upperBound {
      let piece = next..<min(next + Self.blocksPerPiece, blocks.upperBound)
      let payload = try await disk.run { try source.payload(of: piece, from: file?.handle) }
      try await writer.write(
        .data(
          ChunkPiece(
            offset: UInt32(piece.lowerBound * Block.size), checksums: Array(checksums[piece]), leaves: ByteBuffer(),
            payload: payload)))
      sentBytes.increment(by: payload.byteCount)
      next = piece.upperBound
    }
  }

  private static let blocksPerPiece = ChunkPiece.largestPayload / Block.size

  /// Runs `body`; a replica that proves bad on the way is moved aside and reported.
  func reportingCorruption<Value>(
    of chunk: ChunkID, in group: GroupID, _ body: () async throws -> Value
  ) async throws -> Value {
    do {
      return try await body()
    } catch let error as DFSError where error.code == .corrupt && error.metadata["fault"] != Self.otherRoot {
      await quarantine(chunk, in: group, because: error)
      throw error
    }
  }
}

/// A descriptor of the chunk's file for as long as it is sent. The call duplicates it for what it still queues.
private struct FileHandle: Sendable {
  let handle: NIOFileHandle

  init(duplicating descriptor: Int32) throws {
    let copy = dup(descriptor)
    guard copy >= 0 else { throw DFSError(.exhausted, "no file descriptor is left on this node for a read") }
    handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: copy)
  }

  /// Closing a descriptor that was only read can fail in no way that anyone could act on.
  func close() { try? handle.close() }
}

extension ChunkReader {
  /// The blocks as they lie in `file`, brought into the page cache; else their bytes, checked. Blocks.
  fileprivate func payload(of blocks: Range<Int>, from file: NIOFileHandle?) throws -> ChunkPiece.Payload {
    if let file, let region = fileRegion(blocks) {
      prefetch(blocks)
      return .file(FileRegion(fileHandle: file, readerIndex: region.offset, endIndex: region.offset + region.length))
    }
    let count = bytes(of: blocks).count
    var buffer = ByteBufferAllocator().buffer(capacity: count)
    try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
      try read(blocks, into: UnsafeMutableRawBufferPointer(rebasing: space[..<count]))
      return count
    }
    return .bytes(buffer)
  }
}
