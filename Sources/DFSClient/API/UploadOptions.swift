/// What must hold at the moment a file becomes visible.
public enum WriteCondition: Sendable, Hashable {
  /// The name must be free; else `.alreadyExists`.
  case ifAbsent
  /// The name must lead to the version with this revision; else `.failedPrecondition`.
  case ifRevision(Revision)
}

/// How a file is to be stored.
public struct UploadOptions: Sendable {
  /// Creates missing directories above the file.
  public var makeParents = false
  /// Nothing replaces what is there, as a whole and at one moment.
  public var condition: WriteCondition?
  /// Copies to keep, 1 to 5; the directory's or the cluster's number when nothing is given.
  public var replicas: Int?
  /// The cluster's chunk size when nothing is given.
  public var chunkSize: ChunkSize?
  /// Permission bits; a local file's own, or 0644.
  public var mode: UInt16?
  /// Time of modification; a local file's own, or the time of the commit.
  public var modified: Timestamp?
  public var owner = ""
  public var userAttributes: [String: [UInt8]] = [:]

  public init() {}
}

/// A file that is stored and visible.
public struct UploadReceipt: Sendable {
  public var attributes: FileAttributes
  /// The fewest durable copies that any of its chunks has got; the metadata's own when the content is inline.
  public var replicas: Int
  /// Chunks that were sent again because a datanode failed.
  public var rewrittenChunks: Int
}

/// How far a transfer is. Called on an arbitrary thread, several times a second; return quickly.
public struct TransferProgress: Sendable, Hashable {
  /// Bytes acknowledged (upload) or verified (download) so far.
  public var done: ByteCount
  /// Nothing when the length is not known.
  public var total: ByteCount?
}

public typealias ProgressHandler = @Sendable (TransferProgress) -> Void
