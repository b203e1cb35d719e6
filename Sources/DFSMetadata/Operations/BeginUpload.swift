package import DFSCore

/// Opens an upload: binds the target as (parent inode, name), starts the lease, and allocates the first chunks.
///
/// Nothing is visible until the commit, where the preconditions are evaluated (again: a begin that can be seen to
/// fail already is refused here, before any byte is sent).
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
