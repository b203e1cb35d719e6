package import DFSCore

/// What a name in a directory stands for.
package enum EntryKind: UInt8, Sendable, Hashable {
  case file = 1
  case directory = 2
}

/// What a user may set on a file or directory, beside its contents.
package struct FileAttributes: Sendable, Hashable {
  /// Permission bits, kept for the user, enforced by nobody yet: 0 to 0o7777.
  package var mode: UInt16
  package var modified: FileTime
  /// Who wrote it, as the client says; at most 255 bytes.
  package var owner: String
  /// User attributes: at most `Limits.userAttributes` of them and `Limits.userAttributeBytes` in all.
  package var user: [String: [UInt8]]

  package init(mode: UInt16, modified: FileTime, owner: String = "", user: [String: [UInt8]] = [:]) {
    self.mode = mode
    self.modified = modified
    self.owner = owner
    self.user = user
  }

  /// With `now` for a time of zero, by which a writer leaves the time to the round: a retry, whose arguments
  /// must be the same, could not say "now" twice.
  func dated(_ now: FileTime) -> FileAttributes {
    guard modified.rawValue == 0 else { return self }
    var dated = self
    dated.modified = now
    return dated
  }
}

/// How many copies chunks have: a directory's for new files beneath it, or one file's.
package struct PlacementPolicy: Sendable, Hashable {
  /// R: 1 to 5.
  package var replicas: UInt8
  package init(replicas: UInt8) { self.replicas = replicas }
  package static let standard = PlacementPolicy(replicas: 3)
  /// W: how many durable copies a write needs at least.
  package var writeQuorum: Int { Int(replicas) / 2 + 1 }
}

/// What must hold for the target's name at the moment of the commit.
package enum WritePrecondition: Sendable, Hashable {
  case none
  case ifAbsent
  /// The name stands for the version that `EntryStatus.revision` named.
  case ifRevision(Revision)
}

/// Everything `stat` says about one name.
package struct EntryStatus: Sendable, Hashable {
  package var inode: InodeID
  package var kind: EntryKind
  /// When the name was bound to this version; what `WritePrecondition.ifRevision` compares.
  package var revision: Revision
  package var attributes: FileAttributes
  package var created: FileTime
  package var policy: PlacementPolicy
  /// Zero, and the fields below absent, for a directory.
  package var size: ByteCount
  package var chunkSize: ChunkSize
  package var chunkCount: UInt64
  /// The RFC 6962 root over the file's 64 KiB blocks.
  package var root: Digest?
}
