package import DFSCore

/// Moves a file or a whole directory to another name, atomically.
///
/// The target's name: free, always; a file, for a file, and with `.replace` only; an empty directory, for a
/// directory, and with `.replace` only. Anything else is refused, and so are moving `/`, a move onto itself being
/// no change, and moving a directory beneath itself.
package struct Rename: Mutation {
  package enum Existing: UInt8, Sendable, Hashable {
    case refuse = 1
    case replace = 2
  }
  package struct Outcome: Sendable, Hashable {
    package var inode: InodeID
    package var kind: EntryKind
    package var replaced: InodeID?
  }

  package var source: RemotePath
  package var target: RemotePath
  package var existing: Existing

  package init(source: RemotePath, target: RemotePath, existing: Existing) {
    self.source = source
    self.target = target
    self.existing = existing
  }
}
