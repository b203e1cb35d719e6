package import DFSCore

/// Ends the time of a deletion in the trash: what it holds is condemned, and nothing brings it back. One that
/// is gone changes nothing. Throws `.failedPrecondition` while the namespace is held.
package struct PurgeTrash: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// Whether it was there.
    package var isPurged: Bool
  }

  package var deletion: DeletionID
  package init(deletion: DeletionID) { self.deletion = deletion }
}

extension PurgeTrash {
  package static var kind: OperationKind { .purgeTrash }

  package func encodeArguments(to writer: inout RecordWriter) { writer.deletion(deletion) }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.byte(outcome.isPurged ? 1 : 0)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(isPurged: try reader.optional { _ in } != nil)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    try transaction.requireReleased()
    guard let record = try transaction.takeFromTrash(deletion) else { return Outcome(isPurged: false) }
    switch record.kind {
    case .file: try transaction.discard(version: record.inode, transaction.file(record.inode))
    case .emptyDirectory: try transaction.delete(Keys.inode(record.inode))
    case .tree: try transaction.condemn(record.inode, .tree)
    }
    return Outcome(isPurged: true)
  }
}
