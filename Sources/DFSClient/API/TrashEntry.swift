/// One deletion that can be undone: a file, or a directory with everything below it.
public struct TrashEntry: Sendable, Hashable {
  public enum Cause: String, Sendable, Codable {
    /// Somebody removed it.
    case removed
    /// A write or a move gave its name to another version.
    case replaced
  }
  /// Names it for `undelete` and `purge`.
  public var deletion: DeletionID
  /// Where it was; its directory as that is called now, or as it was called when that is gone too.
  public var path: String
  public var kind: EntryKind
  /// Of a file.
  public var length: ByteCount
  public var deleted: Timestamp
  /// When it goes for good, or earlier when the disks are nearly full.
  public var expires: Timestamp
  public var cause: Cause
  /// The version or directory.
  public var inode: InodeID
}

/// One page of the trash.
public struct TrashPage: Sendable {
  /// In order of expiry. May be few, or none, before the last page.
  public var entries: [TrashEntry]
  /// Nothing after the last page.
  public var next: PageToken?
}

/// What an undelete did.
public struct Undeletion: Sendable, Hashable {
  /// Where it is now.
  public var path: String
  public var attributes: FileAttributes
}
