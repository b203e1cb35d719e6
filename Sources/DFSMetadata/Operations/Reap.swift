import DFSCore

/// Takes one step of reaping: forgets the chunks of a page whose deletion the datanodes have acknowledged, or
/// detaches the next entries of a removed tree. A page that was reaped already changes nothing.
package struct Reap: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// Nothing is left of this condemned record.
    package var isFinished: Bool
  }

  package var page: ReapPage
  package init(page: ReapPage) { self.page = page }
}

extension Reap {
  package static var kind: OperationKind { .reap }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.signed(page.notBefore.rawValue)
    writer.inode(page.inode)
    writer.byte(page.kind.rawValue)
    writer.number(page.cursor)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.byte(outcome.isFinished ? 1 : 0)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(isFinished: try reader.optional { _ in } != nil)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    try transaction.requireReleased()
    let key = Keys.condemned(page.notBefore, page.inode)
    guard let record = try transaction.record(key, CondemnedRecord.self) else {
      return Outcome(isFinished: true)
    }
    guard record.kind == page.kind, page.notBefore <= transaction.context.now else {
      throw DFSError(.invalidArgument, "inode \(page.inode) is not to be reaped like this, or not yet")
    }
    guard record.cursor == page.cursor else { return Outcome(isFinished: false) }
    let rest: CondemnedRecord? =
      switch record.kind {
      case .version: try reapVersion(record, in: &transaction)
      case .upload, .leftovers: try reapPage(record, in: &transaction)
      case .tree: try reapTree(record, in: &transaction)
      case .orphans: nil
      }
    if var rest {
      rest.cursor += 1
      try transaction.put(rest, at: key)
    } else {
      try transaction.delete(key)
      transaction.count { $0.condemned -= min(1, $0.condemned) }
    }
    return Outcome(isFinished: rest == nil)
  }

  private func reapVersion(
    _ record: CondemnedRecord, in transaction: inout Transaction
  ) throws -> CondemnedRecord? {
    if case .segments(let count) = try transaction.file(page.inode).contents {
      try transaction.delete(Keys.segment(page.inode, record.cursor))
      if record.cursor + 1 < count { return record }
    }
    try transaction.delete(Keys.inode(page.inode))
    return nil
  }

  private func reapPage(_ record: CondemnedRecord, in transaction: inout Transaction) throws
    -> CondemnedRecord?
  {
    try transaction.delete(Keys.allocation(page.inode, record.cursor))
    if record.kind == .upload, try transaction.bytes(at: Keys.segment(page.inode, record.cursor)) != nil {
      try transaction.delete(Keys.segment(page.inode, record.cursor))
    }
    return record.cursor + 1 < record.pages ? record : nil
  }

  /// Deals with the next names of a detached directory: directories become trees to reap, files versions to
  /// reap.
  private func reapTree(_ record: CondemnedRecord, in transaction: inout Transaction) throws
    -> CondemnedRecord?
  {
    // Two operations for each name, and two for the directory's own records.
    let limit = min((transaction.operationLimit - 2) / 2, Limits.namesPerReap)
    let prefix = Keys.entries(of: page.inode)
    // Nothing can come into a detached directory, so what lies before the last name is done.
    let start = record.name.map { Keys.entry(page.inode, $0) + [0] } ?? prefix
    let entries = try transaction.changes.first(limit, from: start, withPrefix: prefix)
    var rest = record
    for (key, value) in entries {
      let entry = try EntryRecord(stored: value)
      try transaction.delete(key)
      rest.name = try key.withUnsafeBytes { try Keys.name(ofEntry: $0) }
      try reap(entry, in: &transaction)
    }
    if entries.count == limit { return rest }
    try transaction.delete(Keys.inode(page.inode))
    transaction.count { $0.directories -= min(1, $0.directories) }
    return nil
  }

  /// The grace time of what was in the tree has passed with the tree's own.
  private func reap(_ entry: EntryRecord, in transaction: inout Transaction) throws {
    let now = transaction.context.now
    switch entry.kind {
    case .directory:
      try transaction.condemn(
        entry.inode, CondemnedRecord(kind: .tree, revision: transaction.revision), notBefore: now)
    case .file:
      let file = try transaction.file(entry.inode)
      transaction.uncount(file)
      try transaction.discard(version: entry.inode, file, notBefore: now)
    }
  }
}
