import DFSCore
import DFSWire
import NIOConcurrencyHelpers
import NIOCore

/// Fetches the chunks of one file version, several at a time, into a file or in order.
struct DownloadDriver: Sendable {
  let connection: ClusterConnection
  let version: FileVersion
  /// The bytes of the file that are wanted.
  let range: Range<Int64>
  let progress: ProgressHandler?

  /// The positions of the chunks that the range touches.
  private var positions: Range<Int> {
    guard !range.isEmpty else { return 0..<0 }
    let size = Int64(version.chunkSize)
    return Int(range.lowerBound / size)..<Int((range.upperBound - 1) / size) + 1
  }

  /// The part of a chunk that is wanted.
  private func part(of chunk: FileChunk) -> Range<Int> {
    let wanted = range.clamped(to: chunk.offset..<chunk.offset + Int64(chunk.length))
    return Int(wanted.lowerBound - chunk.offset)..<Int(wanted.upperBound - chunk.offset)
  }

  private func reader(of chunk: FileChunk) -> ChunkReader {
    ChunkReader(connection: connection, chunk: chunk, path: version.path, capability: version.capability)
  }

  /// Writes the range to `file`, its first byte at position 0.
  func fetch(into file: LocalFile) async throws {
    let meter = ProgressMeter(total: range.count64, progress)
    if let inline = version.inline {
      let wanted = slice(of: inline)
      try await connection.threads.run { try wanted.withUnsafeReadableBytes { try file.write($0, at: 0) } }
      return meter.add(wanted.readableBytes)
    }
    guard positions.count > 1 else {
      // Most files: no task of its own is needed.
      for position in positions { try await fetch(position, into: file, meter) }
      return
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var running = 0
      for position in positions {
        if running >= connection.configuration.parallelism {
          try await group.next()
          running -= 1
        }
        running += 1
        group.addTask { try await fetch(position, into: file, meter) }
      }
      try await group.waitForAll()
    }
  }

  private func fetch(_ position: Int, into file: LocalFile, _ meter: ProgressMeter) async throws {
    let chunk = try await version.chunk(position)
    let start = chunk.offset - range.lowerBound
    let sink = ChunkReader.Sink(onThread: { offset, bytes in
      try bytes.withUnsafeReadableBytes { try file.write($0, at: start + Int64(offset)) }
      meter.add(bytes.readableBytes)
    })
    try await reader(of: chunk).read(part(of: chunk), to: sink)
  }

  /// Gives `deliver` the range's bytes in order.
  func stream(to deliver: @Sendable (ByteBuffer) async throws -> Void) async throws {
    let meter = ProgressMeter(total: range.count64, progress)
    if let inline = version.inline {
      let wanted = slice(of: inline)
      if wanted.readableBytes > 0 { try await deliver(wanted) }
      return meter.add(wanted.readableBytes)
    }
    let ahead = chunksAhead
    let room = connection.configuration.memoryBudget.int / 2 / ahead
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      var queues: [PieceQueue] = []
      var next = positions.lowerBound
      func startOne() {
        guard next < positions.upperBound else { return }
        let queue = PieceQueue(limit: room)
        queues.append(queue)
        group.addTask { [next] in await fill(queue, next) }
        next += 1
      }
      for _ in 0..<ahead { startOne() }
      while !queues.isEmpty {
        let queue = queues.removeFirst()
        while let piece = try await queue.next() {
          try await deliver(piece)
          meter.add(piece.readableBytes)
        }
        startOne()
      }
    }
  }

  /// Each chunk ahead may hold its share of the memory budget, and up to a message more.
  private var chunksAhead: Int {
    let share = max(1 << 20, version.chunkSize)
    return max(
      1, min(connection.configuration.parallelism, connection.configuration.memoryBudget.int / 2 / share))
  }

  private func fill(_ queue: PieceQueue, _ position: Int) async {
    do {
      let chunk = try await version.chunk(position)
      try await reader(of: chunk).read(
        part(of: chunk), to: ChunkReader.Sink(deliver: { try await queue.put($1) }))
      queue.finish()
    } catch {
      queue.finish(.failure(error))
    }
  }

  private func slice(of content: ByteBuffer) -> ByteBuffer {
    let wanted = range.clamped(to: 0..<Int64(content.readableBytes))
    return content.getSlice(at: content.readerIndex + Int(wanted.lowerBound), length: Int(wanted.count))
      ?? ByteBuffer()
  }
}

extension Range<Int64> {
  var count64: Int64 { upperBound - lowerBound }
}

/// Adds up what several tasks moved and tells a person of it, at most ten times a second.
final class ProgressMeter: Sendable {
  private struct State: Sendable {
    var done: Int64 = 0
    var told: ContinuousClock.Instant?
  }

  private let total: Int64?
  private let handler: ProgressHandler?
  private let state = NIOLockedValueBox(State())

  init(total: Int64?, _ handler: ProgressHandler?) {
    self.total = total
    self.handler = handler
  }

  func add(_ bytes: Int) {
    guard let handler else { return }
    let now = ContinuousClock.now
    let done: Int64? = state.withLockedValue { state in
      state.done += Int64(bytes)
      let isDue = state.told.map { $0.duration(to: now) >= .milliseconds(100) } ?? true
      guard isDue || state.done == total else { return nil }
      state.told = now
      return state.done
    }
    if let done { handler(TransferProgress(done: ByteCount(done), total: total.map { ByteCount($0) })) }
  }
}
