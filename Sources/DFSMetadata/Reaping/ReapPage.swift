package import DFSCore

/// A bounded piece of something condemned whose time has come.
package struct ReapPage: Sendable, Hashable {
  /// What was condemned.
  package enum Kind: UInt8, Sendable, Hashable {
    /// A file version that lost its name.
    case version = 1
    /// An upload that was aborted or expired: everything allocated to it.
    case upload = 2
    /// What a committed upload allocated and did not use.
    case leftovers = 3
    /// A detached directory. Its pages name no chunks: pass them to `Reap` as they are.
    case tree = 4
    /// Chunks that nodes have and nothing knows: see `CondemnOrphans`.
    case orphans = 5
  }

  package var notBefore: ClusterTime
  package var inode: InodeID
  package var kind: Kind
  /// How far reaping had come.
  package var cursor: UInt32
  /// To be deleted on the members of their groups before `Reap` is told; may be empty. At most 512.
  package var chunks: [CondemnedChunk]
  /// Nodes beside the members of the groups that were seen to have chunks of the page: the deletion is theirs
  /// too.
  package var holders: [NodeID] = []
}

package struct CondemnedChunk: Sendable, Hashable {
  package var group: GroupID
  package var chunk: ChunkID

  package init(group: GroupID, chunk: ChunkID) {
    self.group = group
    self.chunk = chunk
  }
}
