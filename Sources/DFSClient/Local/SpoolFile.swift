import DFSCore
import DFSTransport
import Foundation
import NIOConcurrencyHelpers
import NIOCore

/// A temporary file for what memory should not hold. It loses its name right after it was made, so nothing is
/// left behind however the process ends.
final class SpoolFile: Sendable {
  private struct State: Sendable {
    var file: LocalFile?
    var end: Int64 = 0
  }

  private let directory: String
  private let threads: BlockingThreads
  private let state = NIOLockedValueBox(State())

  init(directory: String?, threads: BlockingThreads) {
    self.directory = directory ?? NSTemporaryDirectory()
    self.threads = threads
  }

  /// Appends the pieces; returns where they begin. One task appends at a time.
  func append(_ pieces: [ByteBuffer]) async throws -> Int64 {
    let file = try await open()
    let count = pieces.reduce(0) { $0 + $1.readableBytes }
    let start = state.withLockedValue { state in
      defer { state.end += Int64(count) }
      return state.end
    }
    try await threads.run {
      var offset = start
      for piece in pieces {
        try piece.withUnsafeReadableBytes { try file.write($0, at: offset) }
        offset += Int64(piece.readableBytes)
      }
    }
    return start
  }

  func read(at offset: Int64, count: Int) async throws -> ByteBuffer {
    let file = try await open()
    return try await threads.run {
      var buffer = ByteBuffer()
      guard try file.read(into: &buffer, at: offset, count: count) == count else {
        throw DFSError(.internal, "the spool file lost bytes")
      }
      return buffer
    }
  }

  /// Nothing in the file is needed any more: its space is used from the beginning again.
  func rewind() { state.withLockedValue { $0.end = 0 } }

  private func open() async throws -> LocalFile {
    if let file = state.withLockedValue({ $0.file }) { return file }
    let path = URL(fileURLWithPath: directory).appendingPathComponent(".dfs-spool-\(UUID().uuidString)").path
    let file = try await threads.run {
      let file = try LocalFile(creating: path)
      unlink(path)
      return file
    }
    return state.withLockedValue { state in
      if let other = state.file { return other }
      state.file = file
      return file
    }
  }
}
