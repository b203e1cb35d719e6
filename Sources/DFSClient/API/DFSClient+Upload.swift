import DFSCore
import DFSTransport
import NIOCore

extension DFSClient {
  /// Stores a local file. Its mode and modification time are kept unless the options say otherwise. What is
  /// no regular file (a pipe, a device) is read to its end.
  ///
  /// Returns when the file is durable and visible. Throws `.failedPrecondition` when the source changed while
  /// it was read; then, as after any other error but `.outcomeUnknown`, nothing is visible under the name
  /// that was not there before.
  @discardableResult
  public func upload(
    file localPath: String, to path: RemotePath, options: UploadOptions = UploadOptions(),
    progress: ProgressHandler? = nil
  ) async throws -> UploadReceipt {
    try await operation { [connection] in
      let uploader = Uploader(connection: connection, path: path, options: options, progress: progress)
      let limit = connection.withKnowledge { $0.inlineLimit }
      let (file, state, content) = try await connection.threads.run {
        try LocalFile.openForUpload(localPath, contentUpTo: limit)
      }
      guard state.isRegular else { return try await uploader.run(connection.stream(from: file)) }
      let source = FileSource(file, state, threads: connection.threads)
      return try await uploader.run(source, content: content)
    }
  }

  /// Stores bytes from memory.
  @discardableResult
  public func upload(
    bytes: [UInt8], to path: RemotePath, options: UploadOptions = UploadOptions(),
    progress: ProgressHandler? = nil
  ) async throws -> UploadReceipt {
    try await operation { [connection] in
      let uploader = Uploader(connection: connection, path: path, options: options, progress: progress)
      let limit = connection.withKnowledge { $0.inlineLimit }
      let buffer = ByteBuffer(bytes: bytes)
      let source = BytesSource(buffer, threads: connection.threads)
      return try await uploader.run(source, content: bytes.count <= limit ? buffer : nil)
    }
  }

  /// Stores what an open descriptor gives, from its present position to its end. The descriptor stays open.
  @discardableResult
  public func upload(
    descriptor: Int32, named name: String = "the input", to path: RemotePath,
    options: UploadOptions = UploadOptions(), progress: ProgressHandler? = nil
  ) async throws -> UploadReceipt {
    try await operation { [connection] in
      let uploader = Uploader(connection: connection, path: path, options: options, progress: progress)
      return try await uploader.run(connection.stream(from: LocalFile(borrowing: descriptor, name: name)))
    }
  }

  /// Stores the bytes of an asynchronous sequence, of any length. Bytes are kept until they are durable:
  /// within the memory budget, beyond it in a temporary file.
  @discardableResult
  public func upload<Bytes: AsyncSequence & Sendable>(
    stream bytes: Bytes, to path: RemotePath, options: UploadOptions = UploadOptions(),
    progress: ProgressHandler? = nil
  ) async throws -> UploadReceipt where Bytes.Element == [UInt8] {
    // The sequence is the caller's code: it runs where the caller's code runs, not on a loop.
    let queue = PieceQueue(limit: HashedPiece.size)
    async let pumped: Void = Self.pump(bytes, into: queue)
    do {
      let receipt = try await operation { [connection] in
        let uploader = Uploader(connection: connection, path: path, options: options, progress: progress)
        let source = StreamSource(
          threads: connection.threads, budget: connection.configuration.memoryBudget,
          spoolDirectory: connection.configuration.spoolDirectory
        ) { _ in try await queue.next() ?? ByteBuffer() }
        return try await uploader.run(source)
      }
      await pumped
      return receipt
    } catch {
      queue.cancel()
      throw error
    }
  }

  private static func pump<Bytes: AsyncSequence & Sendable>(
    _ bytes: Bytes, into queue: PieceQueue
  ) async where Bytes.Element == [UInt8] {
    do {
      for try await piece in bytes { try await queue.put(ByteBuffer(bytes: piece)) }
      queue.finish()
    } catch {
      queue.finish(.failure(error))
    }
  }
}

extension ClusterConnection {
  /// A source that reads a descriptor to its end.
  func stream(from file: LocalFile) -> StreamSource {
    StreamSource(
      threads: threads, budget: configuration.memoryBudget, spoolDirectory: configuration.spoolDirectory
    ) { [threads] count in
      // A read that waits for a person or a program can not be interrupted, so it only ever waits a little.
      while true {
        let bytes: ByteBuffer? = try await threads.run {
          var buffer = ByteBuffer()
          return try file.readAvailable(into: &buffer, count: count, wait: 250) ? buffer : nil
        }
        if let bytes { return bytes }
      }
    }
  }
}

extension LocalFile {
  /// Opens a source and, when it is a small regular file, reads it: one visit to a thread instead of three.
  static func openForUpload(
    _ path: String, contentUpTo limit: Int
  ) throws -> (LocalFile, LocalFile.State, ByteBuffer?) {
    let file = try LocalFile(reading: path)
    let state = try file.state()
    if state.isDirectory {
      throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": path])
    }
    guard state.isRegular, state.length <= Int64(limit) else { return (file, state, nil) }
    var content = ByteBuffer()
    // One byte more than there should be shows whether the file grew.
    guard try file.read(into: &content, at: 0, count: Int(state.length) + 1) == Int(state.length) else {
      throw DFSError(
        .failedPrecondition, "\(path) changed while it was read; put it again when it is at rest",
        metadata: ["path": path])
    }
    return (file, state, content)
  }
}
