package import DFSCore

/// Removes a name: a file, an empty directory, or with `.tree` a directory with everything beneath it. A tree is
/// detached in one step, whatever its size, and reaped afterwards.
package struct Remove: Mutation {
  package enum Scope: UInt8, Sendable, Hashable {
    case fileOrEmptyDirectory = 1
    case tree = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
  }

  package var path: RemotePath
  package var scope: Scope
  package var precondition: WritePrecondition

  package init(path: RemotePath, scope: Scope, precondition: WritePrecondition = .none) {
    self.path = path
    self.scope = scope
    self.precondition = precondition
  }
}
