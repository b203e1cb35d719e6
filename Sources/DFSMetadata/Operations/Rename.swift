package import DFSCore

/// Moves a file or a whole directory to another name, atomically.
///
/// The target's name: free, always; a file, for a file, and with `.replace` only; an empty directory, for a
/// directory, and with `.replace` only. Anything else is refused, and so are moving `/`, a move onto itself
/// being no change, and moving a directory beneath itself.
package struct Rename: Mutation {
  package enum Existing: UInt8, Sendable, Hashable {
    case refuse = 1
    case replace = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
    package var replaced: InodeID?
  }

  package var source: RemotePath
  package var target: RemotePath
  package var existing: Existing

  package init(source: RemotePath, target: RemotePath, existing: Existing) {
    self.source = source
    self.target = target
    self.existing = existing
  }
}

extension Rename {
  package static var kind: OperationKind { .rename }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(source)
    writer.path(target)
    writer.byte(existing.rawValue)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
    writer.byte(outcome.kind.rawValue)
    writer.optional(outcome.replaced) { $0.inode($1) }
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(
      inode: try reader.inode(), kind: try reader.choice(), replaced: try reader.optional { try $0.inode() })
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    let moved = try transaction.resolve(source)
    guard let oldName = source.name, let newName = target.name else {
      throw DFSError(.invalidArgument, "/ can be neither moved nor replaced")
    }
    let oldParent = try transaction.parent(of: source)
    let newParent = try transaction.parent(of: target)
    if source == target { return Outcome(inode: moved.inode, kind: moved.kind, replaced: nil) }
    if moved.kind == .directory { try transaction.checkReachesRoot(newParent, avoiding: moved.inode) }
    let replaced = try transaction.record(Keys.entry(newParent, newName), EntryRecord.self)
    if let replaced {
      let place = DirectoryRecord.Place(parent: newParent, name: newName)
      try give(way: replaced, at: place, to: moved, in: &transaction)
    }

    try transaction.delete(Keys.entry(oldParent, oldName))
    try transaction.bind(newName, in: newParent, to: moved.inode, moved.kind)
    if moved.kind == .directory {
      var record = try transaction.directory(moved.inode)
      record.place = DirectoryRecord.Place(parent: newParent, name: newName)
      try transaction.put(InodeRecord.directory(record), at: Keys.inode(moved.inode))
    }
    return Outcome(inode: moved.inode, kind: moved.kind, replaced: replaced?.inode)
  }

  /// Makes the target's name free when the rules allow it.
  private func give(
    way replaced: EntryRecord, at place: DirectoryRecord.Place, to moved: EntryRecord,
    in transaction: inout Transaction
  ) throws {
    func refuse(_ code: DFSError.Code, _ why: String) -> DFSError {
      DFSError(code, "\(target) \(why)", metadata: ["path": target.description])
    }
    guard existing == .replace else { throw refuse(.alreadyExists, "exists already") }
    switch (moved.kind, replaced.kind) {
    case (.file, .file):
      _ = try transaction.retire(version: replaced.inode, at: place, in: target.parent, .replaced)
    case (.file, .directory): throw refuse(.failedPrecondition, "is a directory: a file can not replace it")
    case (.directory, .file): throw refuse(.failedPrecondition, "is a file: a directory can not replace it")
    case (.directory, .directory):
      guard try transaction.isEmpty(replaced.inode) else {
        throw refuse(.failedPrecondition, "is a directory that is not empty")
      }
      try transaction.delete(Keys.inode(replaced.inode))
      transaction.count { $0.directories -= min(1, $0.directories) }
    }
  }
}
