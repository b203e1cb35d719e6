import DFSCore
import DFSWire
import Foundation
import NIOCore

extension DFSClient {
  /// Fetches a file, verified, to a local path, with its mode and modification time. The bytes arrive under a
  /// temporary name beside it; the final name appears, or is replaced, when all of them are there. What
  /// exists and is no regular file (a pipe, a device) is written to directly.
  ///
  /// Throws `.corrupt` with `path` and `chunk` in its metadata when no copy of a chunk is good.
  @discardableResult
  public func download(
    _ path: RemotePath, to localPath: String, progress: ProgressHandler? = nil
  ) async throws -> FileAttributes {
    try await operation { [connection] in
      let version = try await FileVersion.open(path, connection)
      let driver = DownloadDriver(
        connection: connection, version: version, range: 0..<version.attributes.length.rawValue,
        progress: progress)
      let target = try await connection.threads.run { try LocalTarget(localPath) }
      switch target {
      case .special(let file):
        try await version.pinned { try await driver.stream { try await connection.write($0, to: file) } }
      case .temporary(let temporary):
        do {
          try await version.pinned(.whileLong) { try await driver.fetch(into: temporary.file) }
          let (mode, modified) = (version.attributes.mode, version.attributes.modified)
          try await connection.threads.run { try temporary.publish(mode: mode, modified: modified) }
        } catch {
          temporary.discard()
          throw error
        }
      }
      return version.attributes
    }
  }

  /// Writes a file, or a range of it, to an open descriptor, in order and verified. The descriptor stays
  /// open.
  @discardableResult
  public func download(
    _ path: RemotePath, range: Range<Int64>? = nil, toDescriptor descriptor: Int32,
    named name: String = "the output", progress: ProgressHandler? = nil
  ) async throws -> FileAttributes {
    try await operation { [connection] in
      let version = try await FileVersion.open(path, connection)
      let file = LocalFile(borrowing: descriptor, name: name)
      let driver = DownloadDriver(
        connection: connection, version: version, range: version.clamp(range), progress: progress)
      try await version.pinned { try await driver.stream { try await connection.write($0, to: file) } }
      return version.attributes
    }
  }

  /// A file, or a range of it, in memory. Throws `.exhausted` for more than 256 MiB: take it piece by piece
  /// then.
  public func read(_ path: RemotePath, range: Range<Int64>? = nil) async throws -> [UInt8] {
    let largest: Int64 = 256 << 20
    return try await withContent(of: path, range: range) { content in
      guard content.length.rawValue <= largest else {
        throw DFSError(.exhausted, "\(path) has \(content.length); read it with withContent(of:) instead")
      }
      var bytes: [UInt8] = []
      bytes.reserveCapacity(content.length.int)
      for try await piece in content { bytes += piece }
      return bytes
    }
  }

  /// Lets `body` read a file, or a range of it, piece by piece, in order and verified, while the next chunks
  /// are fetched. The version stays what it was at the beginning, whatever happens to the name meanwhile.
  /// What `body` throws is thrown as it is.
  public func withContent<Result: Sendable>(
    of path: RemotePath, range: Range<Int64>? = nil,
    _ body: @Sendable (FileContent) async throws -> Result
  ) async throws -> Result {
    try await OperationTrace.run { try await content(path, range, body) }
  }

  private func content<Result: Sendable>(
    _ path: RemotePath, _ range: Range<Int64>?, _ body: @Sendable (FileContent) async throws -> Result
  ) async throws -> Result {
    let version = try await operation { [connection] in try await FileVersion.open(path, connection) }
    let wanted = version.clamp(range)
    let queue = PieceQueue(limit: 1 << 20)
    let driver = DownloadDriver(connection: connection, version: version, range: wanted, progress: nil)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { [self] in
        do {
          try await operation {
            try await version.pinned { try await driver.stream { try await queue.put($0) } }
          }
          queue.finish()
        } catch {
          queue.finish(.failure(error))
        }
      }
      return try await body(FileContent(version.attributes, ByteCount(wanted.count64), queue))
    }
  }
}

/// The bytes of a file, in order and verified. Read it once, from one task.
public struct FileContent: AsyncSequence, Sendable {
  public typealias Element = [UInt8]
  public typealias Failure = any Error

  /// What is known of the version that is read.
  public let attributes: FileAttributes
  /// How many bytes come.
  public let length: ByteCount
  private let queue: PieceQueue

  init(_ attributes: FileAttributes, _ length: ByteCount, _ queue: PieceQueue) {
    self.attributes = attributes
    self.length = length
    self.queue = queue
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let queue: PieceQueue
    public mutating func next() async throws -> [UInt8]? {
      try await queue.next().map { [UInt8]($0.readableBytesView) }
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(queue: queue) }
}

extension FileVersion {
  nonisolated func clamp(_ range: Range<Int64>?) -> Range<Int64> {
    let whole = 0..<attributes.length.rawValue
    return range?.clamped(to: whole) ?? whole
  }
}

extension ClusterConnection {
  func write(_ bytes: ByteBuffer, to file: LocalFile) async throws {
    try await threads.run { try bytes.withUnsafeReadableBytes { try file.writeNext($0) } }
  }
}
