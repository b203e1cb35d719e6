package import DFSCore

/// Gives what is in the trash a name again, with everything beneath it: its old place, or `target`.
///
/// Its old place is its directory, wherever that is now; when that was removed too, the directory that has its
/// path since. The name must be free. Throws `.notFound` for a deletion that is not in the trash or for a
/// target whose directory is missing, `.alreadyExists`, and `.failedPrecondition` when the old place is gone.
package struct Undelete: Mutation {
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
    /// Where it is now; the last part of a path that is longer than `Limits.trashPathBytes`.
    package var path: RemotePath
  }

  package var deletion: DeletionID
  package var target: RemotePath?

  package init(deletion: DeletionID, target: RemotePath? = nil) {
    self.deletion = deletion
    self.target = target
  }
}

extension Undelete {
  package static var kind: OperationKind { .undelete }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.deletion(deletion)
    writer.optional(target) { $0.path($1) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
    writer.byte(outcome.kind.rawValue)
    writer.path(outcome.path)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(
      inode: try reader.inode(), kind: try reader.choice(),
      path: try reader.path(upTo: Limits.trashPathBytes))
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard let record = try transaction.takeFromTrash(deletion) else {
      throw DFSError(
        .notFound,
        "there is no deletion \(deletion) in the trash: it was undone or purged, or its time is over",
        metadata: ["deletion": deletion.description])
    }
    let place = try place(for: record, in: &transaction)
    let path = place.directory.appending(place.name)
    guard try transaction.bytes(at: Keys.entry(place.parent, place.name)) == nil else {
      throw DFSError(
        .alreadyExists, "\(path) exists already: give it another place (--to PATH), or move that away first",
        metadata: ["path": path.description])
    }
    try transaction.bind(place.name, in: place.parent, to: record.inode, record.entryKind)
    switch record.kind {
    case .file: transaction.recount(try transaction.file(record.inode))
    case .emptyDirectory, .tree:
      var directory = try transaction.directory(record.inode)
      directory.place = DirectoryRecord.Place(parent: place.parent, name: place.name)
      try transaction.put(InodeRecord.directory(directory), at: Keys.inode(record.inode))
      if record.kind == .emptyDirectory { transaction.count { $0.directories += 1 } }
    }
    return Outcome(
      inode: record.inode, kind: record.entryKind,
      path: TrashRecord.bounded(place.directory).appending(place.name))
  }

  private struct Place {
    var parent: InodeID
    var directory: RemotePath
    var name: FileName
  }

  private func place(for record: TrashRecord, in transaction: inout Transaction) throws -> Place {
    if let target {
      guard let name = target.name, let directory = target.parent else {
        throw DFSError(.alreadyExists, "/ exists already: give a name beneath it", metadata: ["path": "/"])
      }
      return Place(parent: try transaction.parent(of: target), directory: directory, name: name)
    }
    let (parent, name) = (record.place.parent, record.place.name)
    if let directory = try transaction.livingPath(ofDirectory: parent) {
      return Place(parent: parent, directory: directory, name: name)
    }
    // Removed, and made anew since: what lies there now is what a person means by the old place.
    if record.isPathWhole, let heir = try transaction.findDirectory(record.directory) {
      return Place(parent: heir, directory: record.directory, name: name)
    }
    throw DFSError(
      .failedPrecondition,
      "\(record.directory), where \(name) was, is gone: undelete that directory first, make it anew, or give "
        + "another place (--to PATH)",
      metadata: ["path": record.directory.description])
  }
}

extension Transaction {
  /// The directory that `path` leads to, if it does.
  fileprivate mutating func findDirectory(_ path: RemotePath) throws -> InodeID? {
    var directory = InodeID.root
    for name in path.components {
      guard let entry = try record(Keys.entry(directory, name), EntryRecord.self), entry.kind == .directory
      else { return nil }
      directory = entry.inode
    }
    return directory
  }

  /// The opposite of `uncount`.
  fileprivate mutating func recount(_ file: FileRecord) {
    count {
      $0.files += 1
      $0.chunks += file.chunkCount
      $0.bytes += file.size
    }
  }
}
