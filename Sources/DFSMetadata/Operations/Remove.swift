package import DFSCore

/// Removes a name: a file, an empty directory, or with `.tree` a directory with everything beneath it. A tree
/// is detached in one step, whatever its size. What it was goes to the trash, or, `now`, to the reaper.
package struct Remove: Mutation {
  package enum Scope: UInt8, Sendable, Hashable {
    case fileOrEmptyDirectory = 1
    case tree = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
    /// For `Undelete`; `nil` when nothing went to the trash.
    package var deletion: DeletionID?
  }

  package var path: RemotePath
  package var scope: Scope
  package var precondition: WritePrecondition
  package var disposal: Disposal

  package init(
    path: RemotePath, scope: Scope, precondition: WritePrecondition = .none, disposal: Disposal = .trash
  ) {
    self.path = path
    self.scope = scope
    self.precondition = precondition
    self.disposal = disposal
  }
}

extension Remove {
  package static var kind: OperationKind { .remove }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(path)
    writer.byte(scope.rawValue)
    writer.precondition(precondition)
    // Absent where it changes nothing, so that requests of earlier programs keep their fingerprint.
    if disposal == .now { writer.byte(disposal.rawValue) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
    writer.byte(outcome.kind.rawValue)
    writer.optional(outcome.deletion) { $0.deletion($1) }
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    var outcome = Outcome(inode: try reader.inode(), kind: try reader.choice())
    // Results of earlier programs end here.
    if reader.remaining > 0 { outcome.deletion = try reader.optional { try $0.deletion() } }
    return outcome
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
    let place = DirectoryRecord.Place(parent: try transaction.parent(of: path), name: name)
    let directory = path.parent ?? .root
    var outcome = Outcome(inode: entry.inode, kind: entry.kind)
    switch entry.kind {
    case .file:
      outcome.deletion = try transaction.retire(
        version: entry.inode, at: place, in: directory, .removed, disposal)
    case .directory:
      guard try scope == .tree || transaction.isEmpty(entry.inode) else {
        throw DFSError(
          .failedPrecondition, "\(path) is a directory that is not empty: remove it recursively (rm -r)",
          metadata: ["path": path.description])
      }
      outcome.deletion = try transaction.retire(
        directory: entry.inode, at: place, in: directory, disposal)
    }
    try transaction.delete(Keys.entry(place.parent, name))
    return outcome
  }
}
