package import DFSCore

/// Creates a file whose bytes live in its inode, empty files included: one call, one round.
package struct PutInline: Mutation {
  package typealias Outcome = WriteReceipt

  package var target: RemotePath
  package var attributes: FileAttributes
  package var precondition: WritePrecondition
  package var chunkSize: ChunkSize
  /// `nil`: the policy of the directory.
  package var policy: PlacementPolicy?
  /// At most the namespace's `inlineLimit`.
  package var bytes: [UInt8]
  package var root: Digest

  package init(
    target: RemotePath, attributes: FileAttributes, precondition: WritePrecondition = .none,
    chunkSize: ChunkSize = .standard, policy: PlacementPolicy? = nil, bytes: [UInt8], root: Digest
  ) {
    self.target = target
    self.attributes = attributes
    self.precondition = precondition
    self.chunkSize = chunkSize
    self.policy = policy
    self.bytes = bytes
    self.root = root
  }
}

extension PutInline {
  package static var kind: OperationKind { .putInline }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(target)
    writer.attributes(attributes)
    writer.precondition(precondition)
    writer.chunkSize(chunkSize)
    writer.optional(policy) { $0.policy($1) }
    writer.blob(bytes)
    writer.digest(root)
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) { writer.receipt(outcome) }
  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    try reader.receipt()
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    let limit = transaction.context.configuration.inlineLimit
    guard bytes.count <= limit.int else {
      throw DFSError(
        .invalidArgument,
        "\(ByteCount(bytes.count)) do not fit into the metadata, whose limit is \(limit): upload them",
        metadata: ["limit": String(limit.int)])
    }
    try transaction.checkAttributes(attributes)
    try transaction.checkPolicy(policy)
    let place = try transaction.place(ofFile: target, precondition)
    let file = FileRecord(
      attributes: attributes.dated(transaction.context.wallTime), created: transaction.context.wallTime,
      policy: try policy ?? transaction.directory(place.parent).policy, size: ByteCount(bytes.count),
      chunkSize: chunkSize, chunkCount: 0, root: root, contents: .inline(bytes),
      revision: transaction.revision)
    let inode = transaction.nextInode()
    return try transaction.publish(file, as: inode, at: place, replicas: 0, zones: 0)
  }
}
