import DFSCore

// How things lose their names: into the trash, from which they come back, or to the reaper, from which
// nothing does.

extension Transaction {
  /// Takes a version out of the visible namespace. In the trash it is alive and whole; past it, it stays
  /// readable for the grace time and as long as it is pinned. `directory` is the path of the place's parent;
  /// `nil` to find it out.
  mutating func retire(
    version inode: InodeID, at place: DirectoryRecord.Place, in directory: RemotePath?, _ cause: TrashCause,
    _ disposal: Disposal = .trash
  ) throws -> DeletionID? {
    let file = try file(inode)
    uncount(file)
    guard let deletion = newDeletion(disposal) else {
      try discard(version: inode, file)
      return nil
    }
    let record = TrashRecord(
      kind: .file, inode: inode, cause: cause, place: place,
      directory: try directory ?? path(ofDirectory: place.parent), deleted: context.now, length: file.size,
      revision: revision)
    add(record, deletion)
    return deletion
  }

  /// The same for a directory and everything beneath it, in one step whatever its size.
  mutating func retire(
    directory inode: InodeID, at place: DirectoryRecord.Place, in directory: RemotePath, _ disposal: Disposal
  ) throws -> DeletionID? {
    let isEmpty = try isEmpty(inode)
    if isEmpty { count { $0.directories -= min(1, $0.directories) } }
    let deletion = newDeletion(disposal)
    if deletion == nil, isEmpty {
      try delete(Keys.inode(inode))
      return nil
    }
    // Without a place its chain reaches no root, so no commit, mkdir or rename can go beneath it any more.
    var record = try self.directory(inode)
    record.place = nil
    try put(InodeRecord.directory(record), at: Keys.inode(inode))
    guard let deletion else {
      try condemn(inode, .tree)
      return nil
    }
    let trash = TrashRecord(
      kind: isEmpty ? .emptyDirectory : .tree, inode: inode, cause: .removed, place: place,
      directory: directory, deleted: context.now, length: .zero, revision: revision)
    add(trash, deletion)
    return deletion
  }

  /// Ends the life of a version that has no name and is counted no more: with chunks, it is condemned;
  /// without, it is gone.
  mutating func discard(version inode: InodeID, _ file: FileRecord, notBefore: ClusterTime? = nil) throws {
    guard file.chunkCount > 0 else { return try delete(Keys.inode(inode)) }
    let notBefore = notBefore ?? context.now + context.configuration.reapGrace
    try condemn(inode, CondemnedRecord(kind: .version, revision: revision), notBefore: notBefore)
  }

  mutating func uncount(_ file: FileRecord) {
    count {
      $0.files -= min(1, $0.files)
      $0.chunks -= min(file.chunkCount, $0.chunks)
      $0.bytes = max(.zero, $0.bytes - file.size)
    }
  }

  /// Takes a record out of the trash, for its thing to live on or to end.
  mutating func takeFromTrash(_ deletion: DeletionID) throws -> TrashRecord? {
    guard let record = try record(Keys.trash(deletion), TrashRecord.self) else { return nil }
    try delete(Keys.trash(deletion))
    count { $0.trash -= min(1, $0.trash) }
    return record
  }

  private mutating func newDeletion(_ disposal: Disposal) -> DeletionID? {
    let retention = context.configuration.trashRetention
    guard disposal == .trash, retention > .zero else { return nil }
    return DeletionID(context.now + retention, serial: nextInode().rawValue)
  }

  private mutating func add(_ record: TrashRecord, _ deletion: DeletionID) {
    insert(record, at: Keys.trash(deletion))
    count { $0.trash += 1 }
  }
}
