package import DFSCore

/// Notes that a node lacks chunks of groups that it is a member of. A full slot becomes `behind`; of one that is
/// not full the row says when, so that it can not be called full by what was seen of it before. Groups that the
/// node is no member of are passed by.
package struct MarkBehind: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// Groups whose row was changed.
    package var groups: [GroupID]
  }

  package enum Cause: UInt8, Sendable, Hashable {
    /// It had them, and has them no more. The epoch is raised, and receipts that the node gave before count no
    /// more: open uploads may rest on what was lost, so their commits count again.
    case lost = 1
    /// It never had them, and what it has it keeps: its receipts count as before.
    case lacks = 2
    /// As `lost`, but it may list them again, for they were found bad: the row names the node until it is full.
    case bad = 3
  }

  package var node: NodeID
  /// 1 to `Limits.groupsPerChange`, each once.
  package var groups: [GroupID]
  package var cause: Cause

  package init(node: NodeID, groups: [GroupID], cause: Cause = .lost) {
    self.node = node
    self.groups = groups
    self.cause = cause
  }
}

extension MarkBehind {
  package static var kind: OperationKind { .markBehind }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.node(node)
    writer.groups(groups)
    writer.byte(cause.rawValue)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.groups(outcome.groups)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(groups: try reader.groups(upTo: Limits.groupsPerChange))
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard (1...Limits.groupsPerChange).contains(groups.count), Set(groups).count == groups.count else {
      throw DFSError(.invalidArgument, "1 to \(Limits.groupsPerChange) different groups are marked at once")
    }
    var marked: [GroupID] = []
    for id in groups {
      guard var row = try transaction.groupRow(id), row.members.contains(node) else { continue }
      switch cause {
      case .lost: row.lost(by: node, at: transaction.revision)
      case .bad: row.foundBad(on: node, at: transaction.revision)
      case .lacks: row.missed(by: [node], at: transaction.revision)
      }
      try transaction.put(GroupRecord(row), at: Keys.group(id))
      marked.append(id)
    }
    if !marked.isEmpty, cause != .lacks { transaction.membersChanged() }
    return Outcome(groups: marked)
  }
}
