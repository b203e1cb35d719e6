import DFSCore

/// `t/`: something that lost its name and can get one again. Expiry and serial number are in the key.
struct TrashRecord: StoredRecord, Hashable {
  var kind: Kind
  var inode: InodeID
  var cause: TrashCause
  /// Its directory, wherever that is now, and its name in it.
  var place: DirectoryRecord.Place
  /// The path of that directory when it happened: to be shown, and to go back to once the directory itself is
  /// gone. At most `Limits.trashPathBytes`; of a longer one the last names, behind `cutMark`.
  var directory: RemotePath
  var deleted: ClusterTime
  /// Of a file.
  var length: ByteCount
  /// Of the mutation that put it here.
  var revision: Revision

  enum Kind: UInt8, Hashable {
    case file = 1
    /// Counted no longer, unlike a tree.
    case emptyDirectory = 2
    /// A directory with something in it. Nothing comes into it or goes while it is here.
    case tree = 3
  }

  static let what: StaticString = "trash"
  /// Names of the remembered path: as many as `trashPathBytes` can be long.
  private static let mostNames = Limits.trashPathBytes

  init(
    kind: Kind, inode: InodeID, cause: TrashCause, place: DirectoryRecord.Place, directory: RemotePath,
    deleted: ClusterTime, length: ByteCount, revision: Revision
  ) {
    self.kind = kind
    self.inode = inode
    self.cause = cause
    self.place = place
    self.directory = Self.bounded(directory)
    self.deleted = deleted
    self.length = length
    self.revision = revision
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.byte(kind.rawValue)
    writer.inode(inode)
    writer.byte(cause.rawValue)
    writer.inode(place.parent)
    writer.name(place.name)
    writer.path(directory)
    writer.signed(deleted.rawValue)
    writer.length(length)
    writer.revision(revision)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.choice()
    inode = try reader.inode()
    cause = try reader.choice()
    place = DirectoryRecord.Place(parent: try reader.inode(), name: try reader.name())
    directory = try reader.path(upTo: Self.mostNames)
    deleted = ClusterTime(rawValue: try reader.signed())
    length = try reader.length()
    revision = try reader.revision()
  }
}

extension TrashRecord {
  /// Stands for the first directories of a path that was too long to be remembered whole.
  private static let cutMark = try? FileName("…")

  var entryKind: EntryKind { kind == .file ? .file : .directory }
  /// Where it was, in words of then.
  var path: RemotePath { directory.appending(place.name) }
  /// Whether `directory` leads anywhere.
  var isPathWhole: Bool { directory.components.first != Self.cutMark }

  /// The last names of `path`, as many as are remembered.
  static func bounded(_ path: RemotePath) -> RemotePath {
    var room = Limits.trashPathBytes
    var kept: [FileName] = []
    for name in path.components.reversed() {
      room -= name.bytes.count + 1
      guard room > 0 else {
        if let cutMark { kept.append(cutMark) }
        break
      }
      kept.append(name)
    }
    return RemotePath(components: kept.reversed())
  }
}
