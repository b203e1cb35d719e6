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
