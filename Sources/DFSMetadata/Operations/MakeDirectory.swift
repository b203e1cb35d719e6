package import DFSCore

/// Makes a directory, with its missing parents when asked.
package struct MakeDirectory: Mutation {
  package enum Parents: UInt8, Sendable, Hashable {
    /// The parent must exist, the name must be free.
    case mustExist = 1
    /// `mkdir -p`: makes what is missing, and succeeds when the directory is there already.
    case make = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    /// How many directories were made; zero when it was there.
    package var made: UInt16
  }

  package var path: RemotePath
  package var parents: Parents
  package var attributes: FileAttributes
  /// `nil`: the parent's.
  package var policy: PlacementPolicy?

  package init(
    path: RemotePath, parents: Parents, attributes: FileAttributes, policy: PlacementPolicy? = nil
  ) {
    self.path = path
    self.parents = parents
    self.attributes = attributes
    self.policy = policy
  }
}
