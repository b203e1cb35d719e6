package import DFSCore

/// Changes attributes of a file or directory; what is `nil` or not named stays. The contents' revision stays, too.
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
