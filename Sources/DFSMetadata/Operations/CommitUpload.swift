package import DFSCore

/// Makes an upload's version visible under its name, in one transaction or not at all. Its cost does not depend on
/// the size of the file, unless group members changed since the first seal: then every segment's holders are counted again.
package struct CommitUpload: Mutation {
  package enum Outcome: Sendable, Hashable {
    case committed(WriteReceipt)
    /// Indices of `final` with too few durable copies. Nothing has changed.
    case sendAgain([UInt32])
  }

  package var upload: UploadID
  /// The chunks that are not sealed yet, in the file's order, at most 512: small files seal and commit in one call.
  package var final: [StoredChunk]
  package var chunkCount: UInt64
  package var length: ByteCount
  /// The root over all blocks of the file. Kept as the client says it; readers verify it.
  package var root: Digest
  /// Replace what `BeginUpload` said: the protocol gives a version's attributes with its commit.
  package var attributes: FileAttributes?

  package init(
    upload: UploadID, final: [StoredChunk], chunkCount: UInt64, length: ByteCount, root: Digest,
    attributes: FileAttributes? = nil
  ) {
    self.upload = upload
    self.final = final
    self.chunkCount = chunkCount
    self.length = length
    self.root = root
    self.attributes = attributes
  }
}
