import DFSCore
import DFSTransport
import NIOConcurrencyHelpers
import NIOCore

/// Bytes that can be read once: standard input, a pipe, an asynchronous sequence.
///
/// A chunk's bytes are kept until the chunk is durable, in memory within a budget, beyond it in a temporary
/// file without a name, which disappears with the process. Should a durable chunk be rejected afterwards, its
/// bytes come back from the datanodes (`refill`).
final class StreamSource: ChunkSource {
  /// Reads the next bytes; an empty buffer at the end. Called by one task at a time.
  typealias Pull = @Sendable (_ atMost: Int) async throws -> ByteBuffer

  private enum Kept: Sendable {
    case memory([ByteBuffer])
    case spooled(at: Int64, length: Int)
  }

  private struct State: Sendable {
    var kept: [Int: Kept] = [:]
    var lengths: [Int: Int] = [:]
    var inMemory = 0
    /// Chunks in the spool file, those on their way there included.
    var spooled = 0
    /// Bytes that were pulled and belong to the next chunk.
    var rest = ByteBuffer()
    var isAtEnd = false
  }

  private let pull: Pull
  private let threads: BlockingThreads
  private let budget: Int
  private let spool: SpoolFile
  private let state = NIOLockedValueBox(State())

  init(threads: BlockingThreads, budget: ByteCount, spoolDirectory: String?, pull: @escaping Pull) {
    self.threads = threads
    self.budget = budget.int
    self.pull = pull
    spool = SpoolFile(directory: spoolDirectory, threads: threads)
  }

  var length: Int64? { nil }
  var isRereadable: Bool { false }
  var attributes: SourceAttributes { SourceAttributes() }
  func checkUnchanged() async throws {}

  /// The whole stream when it has at most `limit` bytes; else nothing, and the stream is as if it had not
  /// been read.
  func whole(upTo limit: Int) async throws -> ByteBuffer? {
    var bytes = ByteBuffer()
    while bytes.readableBytes <= limit, let piece = try await next(limit + 1 - bytes.readableBytes) {
      bytes.writeImmutableBuffer(piece)
    }
    guard bytes.readableBytes > limit else { return bytes }
    state.withLockedValue { [bytes] state in
      var all = bytes
      all.writeImmutableBuffer(state.rest)
      state.rest = all
    }
    return nil
  }

  func fill(_ position: Int, chunkSize: Int) async throws -> Bool {
    var pieces: [ByteBuffer] = []
    var count = 0
    while count < chunkSize, let piece = try await nextPiece(min(HashedPiece.size, chunkSize - count)) {
      pieces.append(piece)
      count += piece.readableBytes
    }
    guard count > 0 else { return false }
    try await keep(position, pieces, count)
    return true
  }

  /// Exactly `count` bytes in one buffer, fewer only at the end.
  private func nextPiece(_ count: Int) async throws -> ByteBuffer? {
    guard var piece = try await next(count) else { return nil }
    while piece.readableBytes < count, let more = try await next(count - piece.readableBytes) {
      piece.writeImmutableBuffer(more)
    }
    return piece
  }

  /// At least one byte and at most `count`; nothing at the end.
  private func next(_ count: Int) async throws -> ByteBuffer? {
    let (kept, isAtEnd): (ByteBuffer?, Bool) = state.withLockedValue { state in
      let available = min(count, state.rest.readableBytes)
      return (available > 0 ? state.rest.readSlice(length: available) : nil, state.isAtEnd)
    }
    if let kept { return kept }
    if isAtEnd { return nil }
    var pulled = try await pull(count)
    guard let piece = pulled.readSlice(length: min(count, pulled.readableBytes)), piece.readableBytes > 0
    else {
      state.withLockedValue { $0.isAtEnd = true }
      return nil
    }
    if pulled.readableBytes > 0 { state.withLockedValue { [pulled] in $0.rest = pulled } }
    return piece
  }

  private func keep(_ position: Int, _ pieces: [ByteBuffer], _ count: Int) async throws {
    let fits = state.withLockedValue { state in
      state.lengths[position] = count
      guard state.inMemory + count <= budget else {
        state.spooled += 1
        return false
      }
      state.inMemory += count
      state.kept[position] = .memory(pieces)
      return true
    }
    guard !fits else { return }
    let place = try await spool.append(pieces)
    state.withLockedValue { $0.kept[position] = .spooled(at: place, length: count) }
  }

  func length(of position: Int, chunkSize: Int) -> Int { state.withLockedValue { $0.lengths[position] ?? 0 } }

  func piece(of position: Int, offset: Int, chunkSize: Int) async throws -> HashedPiece {
    switch state.withLockedValue({ $0.kept[position] }) {
    case .memory(let pieces):
      let piece = pieces[offset / HashedPiece.size]
      return try await threads.run { HashedPiece(hashing: piece) }
    case .spooled(let start, let length):
      let count = min(HashedPiece.size, length - offset)
      let piece = try await spool.read(at: start + Int64(offset), count: count)
      return try await threads.run { HashedPiece(hashing: piece) }
    case nil:
      throw DFSError(.internal, "the bytes of chunk \(position) were let go before it was durable")
    }
  }

  func release(_ position: Int) {
    state.withLockedValue { state in
      switch state.kept.removeValue(forKey: position) {
      case .memory(let pieces):
        state.inMemory -= pieces.reduce(0) { $0 + $1.readableBytes }
      case .spooled:
        state.spooled -= 1
        // Under the lock: no chunk can be on its way to the file meanwhile.
        if state.spooled == 0 { spool.rewind() }
      case nil: break
      }
    }
  }

  func refill(_ position: Int, with pieces: [ByteBuffer]) async throws {
    // An attempt before this one brought them already.
    guard state.withLockedValue({ $0.kept[position] }) == nil else { return }
    try await keep(position, pieces, pieces.reduce(0) { $0 + $1.readableBytes })
  }
}
