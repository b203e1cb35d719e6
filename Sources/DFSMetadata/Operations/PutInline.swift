package import DFSCore

/// Creates a file whose bytes live in its inode, empty files included: one call, one round.
package struct PutInline: Mutation {
  package typealias Outcome = WriteReceipt

  package var target: RemotePath
  package var attributes: FileAttributes
  package var precondition: WritePrecondition
  package var chunkSize: ChunkSize
  /// At most the namespace's `inlineLimit`.
  package var bytes: [UInt8]
  package var root: Digest

  package init(
    target: RemotePath, attributes: FileAttributes, precondition: WritePrecondition = .none,
    chunkSize: ChunkSize = .standard, bytes: [UInt8], root: Digest
  ) {
    self.target = target
    self.attributes = attributes
    self.precondition = precondition
    self.chunkSize = chunkSize
    self.bytes = bytes
    self.root = root
  }
}
