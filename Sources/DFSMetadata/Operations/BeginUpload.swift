package import DFSCore

/// Opens an upload: binds the target as (parent inode, name), starts the lease, and allocates the first
/// chunks.
///
/// Nothing is visible until the commit, where the preconditions are evaluated (again: a begin that can be
/// seen to fail already is refused here, before any byte is sent).
package struct BeginUpload: Mutation {
  /// Which upload was opened, and the indices that were allocated to it: `0 ..< allocated`.
  package struct Outcome: Sendable, Hashable {
    package var upload: UploadID
    package var parent: InodeID
    package var allocated: UInt32
  }

  package var target: RemotePath
  package var attributes: FileAttributes
  package var precondition: WritePrecondition
  package var chunkSize: ChunkSize
  /// `nil`: the policy of the directory. Groups must have the same.
  package var policy: PlacementPolicy?
  /// The group of each first index, in order; at most `Limits.allocation`, and none for "later".
  package var groups: [GroupID]

  package init(
    target: RemotePath, attributes: FileAttributes, precondition: WritePrecondition = .none,
    chunkSize: ChunkSize, policy: PlacementPolicy? = nil, groups: [GroupID]
  ) {
    self.target = target
    self.attributes = attributes
    self.precondition = precondition
    self.chunkSize = chunkSize
    self.policy = policy
    self.groups = groups
  }
}

extension BeginUpload {
  package static var kind: OperationKind { .beginUpload }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(target)
    writer.attributes(attributes)
    writer.precondition(precondition)
    writer.chunkSize(chunkSize)
    writer.optional(policy) { $0.policy($1) }
    // Not the groups: the coordinator chooses them anew when a client asks again.
    writer.number(UInt(groups.count))
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.upload)
    writer.inode(outcome.parent)
    writer.number(outcome.allocated)
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(upload: try reader.inode(), parent: try reader.inode(), allocated: try reader.number())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    try transaction.checkAttributes(attributes)
    try transaction.checkPolicy(policy)
    let limit = transaction.context.configuration.openUploads
    guard transaction.state.counts.openUploads < limit else {
      throw DFSError(.exhausted, "\(limit) uploads are open, the most there may be: commit or abort some")
    }
    let place = try transaction.place(ofFile: target, precondition)
    let upload = transaction.nextInode()
    var record = UploadRecord(
      parent: place.parent, name: place.name, precondition: precondition, attributes: attributes,
      chunkSize: chunkSize, policy: try policy ?? transaction.directory(place.parent).policy, allocated: 0)
    if !groups.isEmpty { try transaction.allocate(groups, to: upload, &record) }
    transaction.insert(record, at: Keys.upload(upload))
    transaction.note(.leaseStarted(upload))
    transaction.count { $0.openUploads += 1 }
    return Outcome(upload: upload, parent: place.parent, allocated: record.allocated)
  }
}
