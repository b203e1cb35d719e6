package import DFSCore

/// Condemns chunks that nodes have and nothing knows, once they were seen on a node and then found dead in a
/// view: the sweep's only way to have anything deleted. Their deletion waits for the usual grace.
///
/// Whether each is dead is decided again in the round; the others are passed over. Changes nothing when none
/// is. Throws `.failedPrecondition` while the namespace is held.
package struct CondemnOrphans: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// How many of the chunks were dead, and are condemned now.
    package var condemned: UInt32
  }

  /// Of all chunks. It need not be known: then only the holders are asked to delete.
  package var group: GroupID
  /// 1 to `Limits.orphansPerRecord`.
  package var chunks: [ChunkID]
  /// The nodes that were seen to have some of them, at most `Limits.orphanHolders`: the reaper orders the
  /// deletion from them, and from the members of the group.
  package var holders: [NodeID]

  package init(group: GroupID, chunks: [ChunkID], holders: [NodeID]) {
    self.group = group
    self.chunks = chunks
    self.holders = holders
  }
}

extension CondemnOrphans {
  package static var kind: OperationKind { .condemnOrphans }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.group(group)
    writer.number(UInt(chunks.count))
    for chunk in chunks {
      writer.inode(chunk.inode)
      writer.number(chunk.index)
    }
    writer.number(UInt(holders.count))
    for node in holders { writer.node(node) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.number(outcome.condemned)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(condemned: try reader.number())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    try transaction.requireReleased()
    guard (1...Limits.orphansPerRecord).contains(chunks.count), Set(chunks).count == chunks.count,
      (1...Limits.orphanHolders).contains(holders.count), Set(holders).count == holders.count
    else {
      throw DFSError(
        .invalidArgument,
        "1 to \(Limits.orphansPerRecord) different orphans are condemned at once, on 1 to "
          + "\(Limits.orphanHolders) nodes"
      )
    }
    let dead = try chunks.sorted().filter { try transaction.isDead($0, in: group) }
    guard let first = dead.first else { return Outcome(condemned: 0) }
    let orphans = CondemnedRecord.Orphans(group: group, chunks: dead, holders: holders.sorted())
    let notBefore = transaction.context.now + transaction.context.configuration.reapGrace
    try transaction.condemn(
      first.inode, CondemnedRecord(orphans, revision: transaction.revision), notBefore: notBefore)
    return Outcome(condemned: UInt32(dead.count))
  }
}

extension Transaction {
  /// Whether nothing knows the chunk, nor can learn of it. What a record of `x/` deals with by its owner
  /// counts as known; that another list of orphans has it does no harm.
  fileprivate mutating func isDead(_ chunk: ChunkID, in group: GroupID) throws -> Bool {
    let issued = IssuedSerials(incarnation: context.incarnation, next: state.nextSerial)
    guard issued.contains(chunk.inode),
      try bytes(at: Keys.upload(chunk.inode)) == nil,
      try bytes(at: Keys.allocation(chunk.inode, chunk.page)) == nil,
      try bytes(at: Keys.chunk(group, chunk)) == nil
    else { return false }
    guard case .file(let file) = try record(Keys.inode(chunk.inode), InodeRecord.self) else { return true }
    switch file.contents {
    case .inline: return true
    case .chunks(let references): return !references.contains { $0.index == chunk.index }
    // The index knows the segments of earlier rounds only.
    case .segments: return file.revision <= revisionBefore
    }
  }
}
