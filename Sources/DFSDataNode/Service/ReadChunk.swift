import DFSChunkStore
import DFSCore
import DFSRPC
import DFSWire
import Foundation
import NIOCore

/// Reading a range of one chunk: whole blocks, with their checksums from the footer, in pieces of 15 blocks (960 KiB).
///
/// A chunk that is a file is read past the page cache into memory of `readMemory`. One that is read again a moment
/// later, and what finds no memory left, is brought into the page cache and sent from there. Neither is checked here:
/// the reader compares every block with its leaf, so a bad one is found there, and reported back. A small chunk comes
/// from the database, checked.
extension DataNodeService {
  func readChunk(
    _ request: WireReadChunkRequest, _ writer: MessageWriter<ReadChunkPart>, _ context: CallContext
  ) async throws {
    try checkAddressee(request.node)
    guard request.hasChunk else { throw DFSError(.invalidArgument, "a read needs a chunk id") }
    let chunk = ChunkID(request.chunk)
    let group = GroupID(rawValue: request.group)
    let purpose = ReadPurpose(of: context)
    if purpose == .client { pacer.noteForeground() }
    let wanted = request.root.isEmpty ? nil : try Digest(wire: request.root, "the expected root")
    try await reportingCorruption(of: chunk, in: group) {
      let (source, first) = try await self.disk.run { [store, identity, readMemory] in
        let source = try store.open(chunk, in: group)
        if let wanted, wanted != source.description.root {
          throw DFSError(
            .corrupt, "chunk \(chunk) on node \(identity.node) has another root than expected",
            metadata: ["chunk": chunk.description, "fault": Self.otherRoot])
        }
        // One visit to the disk is enough for a small chunk.
        let blocks = try Self.blocks(of: request, in: source.description)
        return (source, try Window(blocks, of: source, within: blocks.upperBound, readMemory))
      }
      try await writer.write(
        .header(
          .with {
            $0.length = UInt32(source.description.length)
            if !request.withoutLeaves { $0.leaves = Data(source.leaves) }
          }))
      try await self.send(first, of: source, to: writer, for: purpose)
    }
  }

  /// Marks a reader whose expectation differs from a replica that is sound in itself.
  private static let otherRoot = "other_root"

  private static func blocks(of request: WireReadChunkRequest, in chunk: ChunkDescription) throws -> Range<
    Int
  > {
    let offset = Int(request.offset)
    let end = request.length == 0 ? chunk.length : offset + Int(request.length)
    guard offset < chunk.length, end <= chunk.length else {
      throw DFSError(
        .invalidArgument,
        "bytes \(offset) to \(end) are outside of chunk \(chunk.chunk), which has \(chunk.length)",
        metadata: ["length": String(chunk.length)])
    }
    return offset / Block.size..<Block.count(of: end)
  }

  /// Sends `first` and all that follows; while one window is sent, the next is brought in. What nobody waits for
  /// gives way to what somebody does.
  private func send(
    _ first: Window, of source: any ChunkReader, to writer: MessageWriter<ReadChunkPart>,
    for purpose: ReadPurpose
  ) async throws {
    let checksums = source.checksums
    let file = try source.fileRegion(first.blocks).map { try FileHandle(duplicating: $0.descriptor) }
    defer { file?.close() }
    var window: Window? = first
    while let present = window {
      async let ahead = next(after: present, of: source, for: purpose)
      for piece in present.pieces {
        let payload = try present.payload(of: piece, of: source, from: file?.handle)
        try await writer.write(
          .data(
            ChunkPiece(
              offset: UInt32(piece.lowerBound * Block.size), checksums: Array(checksums[piece]),
              leaves: ByteBuffer(), payload: payload)))
        sentBytes.increment(by: payload.byteCount)
        if purpose == .client { pacer.noteForeground() }
      }
      window = try await ahead
    }
  }

  private func next(
    after window: Window, of source: any ChunkReader, for purpose: ReadPurpose
  ) async throws -> Window? {
    guard window.blocks.upperBound < window.end else { return nil }
    let (next, took) = try await disk.run { [readMemory] in
      let start = ContinuousClock.now
      let next = try Window(window.blocks.upperBound..<window.end, of: source, within: window.end, readMemory)
      return (next, ContinuousClock.now - start)
    }
    // The rate is counted where the bytes are written.
    if purpose == .repair { try await pacer.rest(after: 0, took: took) }
    return next
  }

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

/// A descriptor of the chunk's file for as long as it is sent. The call duplicates it for what it still
/// queues.
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

/// Some blocks of a read, ready to be sent without waiting for the disk.
private struct Window: Sendable {
  private enum Content {
    /// Counted where it can be long.
    case bytes(ByteBuffer, MemoryLoan?)
    /// In the page cache.
    case cached
  }

  /// So much is brought into the page cache at once: 4 MiB, which cost no memory of ours. Into memory comes one piece.
  private static let cachedPieces = 4
  /// One block less than the protocol allows: buffers grow to a power of two, and with the page it is aligned to here,
  /// or with its message's head at the reader, a piece still fits into a MiB.
  private static let blocksPerPiece = ChunkPiece.largestPayload / Block.size - 1

  let blocks: Range<Int>
  /// Where the read ends.
  let end: Int
  private let content: Content

  /// Takes the first of `wanted`. Blocks on disk.
  init(_ wanted: Range<Int>, of source: any ChunkReader, within end: Int, _ memory: MemoryBudget) throws {
    self.end = end
    let piece = wanted.prefix(Self.blocksPerPiece)
    if source.fileRegion(wanted) == nil {
      blocks = piece
      content = .bytes(try source.bytes(of: piece, checked: true), nil)
    } else if !source.isReadAgain, let loan = memory.take(source.memory(for: piece)) {
      blocks = piece
      content = .bytes(try source.bytes(of: piece, checked: false), loan)
    } else {
      blocks = wanted.prefix(Self.blocksPerPiece * Self.cachedPieces)
      try source.prefetch(blocks)
      content = .cached
    }
  }

  var pieces: [Range<Int>] {
    stride(from: blocks.lowerBound, to: blocks.upperBound, by: Self.blocksPerPiece).map {
      $0..<min($0 + Self.blocksPerPiece, blocks.upperBound)
    }
  }

  func payload(
    of piece: Range<Int>, of source: any ChunkReader, from file: NIOFileHandle?
  ) throws -> ChunkPiece.Payload {
    if case .bytes(let bytes, let loan) = content { return loan.map { .lent(bytes, $0) } ?? .bytes(bytes) }
    guard let file, let region = source.fileRegion(piece) else {
      throw DFSError(.internal, "chunk \(source.description.chunk) lost its file while it was read")
    }
    return .file(
      FileRegion(fileHandle: file, readerIndex: region.offset, endIndex: region.offset + region.length))
  }
}

extension ChunkReader {
  /// What `bytes(of:checked:)` allocates: buffers have a power of two.
  fileprivate func memory(for blocks: Range<Int>) -> Int {
    1 << (Int.bitWidth - (bytes(of: blocks).count + Page.size - 1).leadingZeroBitCount)
  }

  fileprivate func bytes(of blocks: Range<Int>, checked: Bool) throws -> ByteBuffer {
    let count = bytes(of: blocks).count
    var buffer = ByteBufferAllocator().buffer(capacity: count + Page.size)
    var start = 0
    try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count + Page.size) { space in
      start = Page.distance(from: space.baseAddress)
      let pages = UnsafeMutableRawBufferPointer(rebasing: space[start..<start + count])
      if checked { try read(blocks, into: pages) } else { try readUnchecked(blocks, into: pages) }
      return start + count
    }
    buffer.moveReaderIndex(to: start)
    return buffer
  }
}
