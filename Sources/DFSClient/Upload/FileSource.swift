import DFSCore
import DFSTransport
import NIOCore

/// A regular file: read in any order, as often as needed, as long as nobody changes it.
final class FileSource: ChunkSource {
  private let file: LocalFile
  private let opened: LocalFile.State
  private let threads: BlockingThreads
  private let buffers: BufferPool

  /// `state` is that of `file` right after it was opened.
  init(_ file: LocalFile, _ state: LocalFile.State, threads: BlockingThreads) {
    self.file = file
    opened = state
    self.threads = threads
    buffers = BufferPool(capacity: Int(min(Int64(HashedPiece.size), max(1, state.length))))
  }

  var length: Int64? { opened.length }
  var isRereadable: Bool { true }
  var attributes: SourceAttributes {
    SourceAttributes(mode: opened.mode, modified: Timestamp(rawValue: opened.modified))
  }

  func fill(_ position: Int, chunkSize: Int) async throws -> Bool { false }
  func release(_ position: Int) {}
  func refill(_ position: Int, with pieces: [ByteBuffer]) async throws {}

  func length(of position: Int, chunkSize: Int) -> Int {
    Int(min(Int64(chunkSize), opened.length - Int64(position) * Int64(chunkSize)))
  }

  func piece(of position: Int, offset: Int, chunkSize: Int) async throws -> HashedPiece {
    let start = Int64(position) * Int64(chunkSize) + Int64(offset)
    let count = min(HashedPiece.size, length(of: position, chunkSize: chunkSize) - offset)
    let empty = buffers.take()
    let piece = try await threads.run { [file] in
      var buffer = empty
      guard try file.read(into: &buffer, at: start, count: count) == count else {
        throw Self.changed(file.path, "it became shorter")
      }
      return HashedPiece(hashing: buffer)
    }
    buffers.give(piece.payload)
    return piece
  }

  func checkUnchanged() async throws {
    let now = try await threads.run { [file] in try file.state() }
    guard now != opened else { return }
    throw Self.changed(file.path, now.length != opened.length ? "its length is another" : "it was written to")
  }

  private static func changed(_ path: String, _ how: String) -> DFSError {
    DFSError(
      .failedPrecondition,
      "\(path) changed while it was read: \(how); nothing was stored, put it again when it is at rest",
      metadata: ["path": path])
  }
}

/// Bytes that are in memory already.
final class BytesSource: ChunkSource {
  private let bytes: ByteBuffer
  private let threads: BlockingThreads

  init(_ bytes: ByteBuffer, threads: BlockingThreads) {
    self.bytes = bytes
    self.threads = threads
  }

  var length: Int64? { Int64(bytes.readableBytes) }
  var isRereadable: Bool { true }
  var attributes: SourceAttributes { SourceAttributes() }
  func fill(_ position: Int, chunkSize: Int) async throws -> Bool { false }
  func release(_ position: Int) {}
  func refill(_ position: Int, with pieces: [ByteBuffer]) async throws {}
  func checkUnchanged() async throws {}

  func length(of position: Int, chunkSize: Int) -> Int {
    min(chunkSize, bytes.readableBytes - position * chunkSize)
  }

  func piece(of position: Int, offset: Int, chunkSize: Int) async throws -> HashedPiece {
    let count = min(HashedPiece.size, length(of: position, chunkSize: chunkSize) - offset)
    let start = bytes.readerIndex + position * chunkSize + offset
    guard let slice = bytes.getSlice(at: start, length: count) else {
      throw DFSError(.internal, "a chunk of an upload lies outside its source")
    }
    return try await threads.run { HashedPiece(hashing: slice) }
  }
}
