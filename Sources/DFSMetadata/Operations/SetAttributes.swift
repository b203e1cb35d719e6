package import DFSCore

/// Changes attributes of a file or directory; what is `nil` or not named stays. The contents' revision stays,
/// too.
package struct SetAttributes: Mutation {
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
  }

  package var path: RemotePath
  package var mode: UInt16?
  package var modified: FileTime?
  package var owner: String?
  /// User attributes to set, or with `nil` to remove.
  package var user: [String: [UInt8]?]
  /// For files made beneath it from now on; directories only.
  package var policy: PlacementPolicy?

  package init(
    path: RemotePath, mode: UInt16? = nil, modified: FileTime? = nil, owner: String? = nil,
    user: [String: [UInt8]?] = [:], policy: PlacementPolicy? = nil
  ) {
    self.path = path
    self.mode = mode
    self.modified = modified
    self.owner = owner
    self.user = user
    self.policy = policy
  }
}

extension SetAttributes {
  package static var kind: OperationKind { .setAttributes }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.path(path)
    writer.optional(mode) { $0.number($1) }
    writer.optional(modified) { $0.signed($1.rawValue) }
    writer.optional(owner) { $0.text($1) }
    writer.number(UInt(user.count))
    for (name, bytes) in user.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      writer.text(name)
      writer.optional(bytes) { $0.blob($1) }
    }
    writer.optional(policy) { $0.policy($1) }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.inode(outcome.inode)
  }
  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(inode: try reader.inode())
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    let entry = try transaction.resolve(path)
    guard var record = try transaction.record(Keys.inode(entry.inode), InodeRecord.self) else {
      throw DFSError(.corrupt, "\(path) names inode \(entry.inode), which has no record")
    }
    let before = record
    record.attributes = try changed(record.attributes, in: transaction)
    if let policy {
      try transaction.checkPolicy(policy)
      guard case .directory(var directory) = record else {
        throw DFSError(.failedPrecondition, "\(path) is a file: only a directory's policy can be changed")
      }
      directory.policy = policy
      record = .directory(directory)
    }
    if record != before { try transaction.put(record, at: Keys.inode(entry.inode)) }
    return Outcome(inode: entry.inode)
  }

  private func changed(_ attributes: FileAttributes, in transaction: Transaction) throws -> FileAttributes {
    var attributes = attributes
    if let mode { attributes.mode = mode }
    if let modified { attributes.modified = modified }
    if let owner { attributes.owner = owner }
    for (name, bytes) in user { attributes.user[name] = bytes }
    try transaction.checkAttributes(attributes)
    return attributes
  }
}
