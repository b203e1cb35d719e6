package import DFSCore

/// Removes a name: a file, an empty directory, or with `.tree` a directory with everything beneath it. A tree
/// is detached in one step, whatever its size, and reaped afterwards.
package struct Remove: Mutation {
  package enum Scope: UInt8, Sendable, Hashable {
    case fileOrEmptyDirectory = 1
    case tree = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
  }

  package var path: RemotePath
  package var scope: Scope
  package var precondition: WritePrecondition

  package init(path: RemotePath, scope: Scope, precondition: WritePrecondition = .none) {
    self.path = path
    self.scope = scope
    self.precondition = precondition
  }
}

extension Remove {
  package static var kind: OperationKind { .remove }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(path)
    writer.byte(scope.rawValue)
    writer.precondition(precondition)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
    writer.byte(outcome.kind.rawValue)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(inode: try reader.inode(), kind: try reader.choice())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard let name = path.name else { throw DFSError(.invalidArgument, "/ can not be removed") }
    let entry = try transaction.resolve(path)
    if case .ifRevision(let revision) = precondition, entry.revision != revision {
      throw DFSError(
        .failedPrecondition, "\(path) is not at revision \(revision) any more: it is \(entry.revision)",
        metadata: ["path": path.description, "revision": entry.revision.description])
    }
    guard precondition != .ifAbsent else {
      throw DFSError(.invalidArgument, "a name that must be absent can not be removed")
    }
    switch entry.kind {
    case .file: try transaction.retire(version: entry.inode)
    case .directory: try removeDirectory(entry.inode, in: &transaction)
    }
    try transaction.delete(Keys.entry(try transaction.parent(of: path), name))
    return Outcome(inode: entry.inode, kind: entry.kind)
  }

  private func removeDirectory(_ inode: InodeID, in transaction: inout Transaction) throws {
    if try transaction.isEmpty(inode) {
      transaction.count { $0.directories -= min(1, $0.directories) }
      return try transaction.delete(Keys.inode(inode))
    }
    guard scope == .tree else {
      throw DFSError(
        .failedPrecondition, "\(path) is a directory that is not empty: remove it recursively (rm -r)",
        metadata: ["path": path.description])
    }
    // Without a place its chain reaches no root, so no commit, mkdir or rename can go beneath it any more.
    var record = try transaction.directory(inode)
    record.place = nil
    try transaction.put(InodeRecord.directory(record), at: Keys.inode(inode))
    try transaction.condemn(inode, .tree)
  }
}
