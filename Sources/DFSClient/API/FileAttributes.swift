/// What a name leads to.
public enum EntryKind: String, Sendable, Codable {
  case file
  case directory
}

/// A moment, in nanoseconds since the beginning of 1970 (UTC).
public struct Timestamp: RawRepresentable, Hashable, Sendable, Comparable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }
  public var seconds: Int64 { (rawValue - nanoseconds) / 1_000_000_000 }
  /// The part below a second, 0 to 999,999,999, also before 1970.
  public var nanoseconds: Int64 {
    let rest = rawValue % 1_000_000_000
    return rest < 0 ? rest + 1_000_000_000 : rest
  }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What is known of a directory or of one version of a file.
public struct FileAttributes: Sendable, Hashable {
  /// The identity of the directory, or of this version of the file.
  public var inode: InodeID
  public var kind: EntryKind
  public var length: ByteCount
  /// Permission bits. Kept, not enforced.
  public var mode: UInt16
  public var modified: Timestamp
  public var created: Timestamp
  /// When this version became visible; what `WriteCondition.ifRevision` compares.
  public var revision: Revision
  /// The length of every chunk but the last; nothing for a directory.
  public var chunkSize: ChunkSize?
  /// The number of chunks; 0 when the content lies inside the inode.
  public var chunkCount: Int
  /// Copies that are kept of each chunk.
  public var replicas: Int
  /// The root of the content's Merkle tree; what `dfsd hash` prints. Nothing for a directory.
  public var root: Digest?
  /// Whether the content lies in the metadata.
  public var isInline: Bool
  public var owner: String
  public var userAttributes: [String: [UInt8]]
}

/// One line of a listing.
public struct DirectoryEntry: Sendable, Hashable {
  /// Relative to what was listed, `/` between its parts.
  public var path: String
  public var attributes: FileAttributes
}

/// One chunk of a file, and where its copies are.
public struct ChunkLocation: Sendable, Hashable {
  public struct Replica: Sendable, Hashable {
    public enum State: String, Sendable, Codable {
      /// Holds every chunk of its group.
      case full
      /// Is new and may not have this chunk yet.
      case filling
      /// Missed at least one chunk of its group, maybe this one.
      case behind
    }
    public var node: NodeID
    public var address: Endpoint?
    public var zone: String
    public var state: State
    public var isReachable: Bool
  }
  public var id: ChunkID
  /// Where the chunk begins in the file.
  public var offset: ByteCount
  public var length: ByteCount
  public var group: GroupID
  public var root: Digest
  public var replicas: [Replica]
}

/// What lies below a path.
public struct DiskUsage: Sendable, Hashable {
  public var files: UInt64 = 0
  public var directories: UInt64 = 0
  /// The sum of the files' lengths.
  public var length: ByteCount = .zero
  /// The same times their replicas: what the disks hold.
  public var stored: ByteCount = .zero
}
