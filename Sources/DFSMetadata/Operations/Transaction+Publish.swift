import DFSCore

/// A name that a version is to be bound to, and what it stands for.
struct FilePlace {
  var parent: InodeID
  var name: FileName
  var existing: EntryRecord?
  /// The path of the parent, where it is known.
  var directory: RemotePath?
}

extension Transaction {
  /// Resolves the target of a write and evaluates its precondition.
  mutating func place(ofFile path: RemotePath, _ precondition: WritePrecondition) throws -> FilePlace {
    guard let name = path.name else {
      throw DFSError(.failedPrecondition, "/ is a directory", metadata: ["path": "/"])
    }
    let parent = try parent(of: path)
    let existing = try record(Keys.entry(parent, name), EntryRecord.self)
    try check(precondition, on: existing, path.description)
    return FilePlace(parent: parent, name: name, existing: existing, directory: path.parent)
  }

  /// Makes a version visible: writes its record, points the name at it and retires what the name stood for.
  mutating func publish(
    _ file: FileRecord, as inode: InodeID, at place: FilePlace, replicas: UInt8, zones: UInt8
  ) throws -> WriteReceipt {
    if let existing = place.existing {
      _ = try retire(
        version: existing.inode, at: DirectoryRecord.Place(parent: place.parent, name: place.name),
        in: place.directory, .replaced)
    }
    insert(InodeRecord.file(file), at: Keys.inode(inode))
    try bind(place.name, in: place.parent, to: inode, .file)
    count {
      $0.files += 1
      $0.chunks += file.chunkCount
      $0.bytes += file.size
    }
    return WriteReceipt(
      inode: inode, revision: revision, replicas: replicas, zones: zones, replaced: place.existing?.inode)
  }
}

extension RecordWriter {
  mutating func receipt(_ value: WriteReceipt) {
    inode(value.inode)
    revision(value.revision)
    byte(value.replicas)
    byte(value.zones)
    optional(value.replaced) { $0.inode($1) }
  }
}

extension RecordReader {
  mutating func receipt() throws -> WriteReceipt {
    WriteReceipt(
      inode: try inode(), revision: try revision(), replicas: try byte(), zones: try byte(),
      replaced: try optional { try $0.inode() })
  }
}
