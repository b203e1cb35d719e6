package import DFSCore

/// Allocates the next indices of an open upload to groups.
package struct AllocateChunks: Mutation {
  package struct Outcome: Sendable, Hashable {
    /// The indices that this call allocated, in the order of its groups.
    package var indices: Range<UInt32>
  }

  package var upload: UploadID
  /// The group of each new index; 1 to `Limits.allocation`.
  package var groups: [GroupID]

  package init(upload: UploadID, groups: [GroupID]) {
    self.upload = upload
    self.groups = groups
  }
}
