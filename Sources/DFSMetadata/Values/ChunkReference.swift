package import DFSCore

/// One chunk of a file version, as the manifest lists it.
package struct ChunkReference: Sendable, Hashable {
  /// The chunk's index in its version's order of *allocation*: with the inode, its id. Not its place in the
  /// file.
  package var index: UInt32
  package var group: GroupID
  package var length: UInt32
  package var root: Digest

  package init(index: UInt32, group: GroupID, length: UInt32, root: Digest) {
    self.index = index
    self.group = group
    self.length = length
    self.root = root
  }
}

/// One chunk that a client says is stored, and the nodes whose receipts the coordinator has verified: MAC,
/// id, length, root and group.
package struct StoredChunk: Sendable, Hashable {
  package struct Holder: Sendable, Hashable {
    package var node: NodeID
    /// The group's at which the node took the chunk.
    package var epoch: GroupEpoch

    package init(node: NodeID, epoch: GroupEpoch) {
      self.node = node
      self.epoch = epoch
    }
  }

  package var index: UInt32
  package var length: UInt32
  package var root: Digest
  /// A node at most once.
  package var holders: [Holder]

  package init(index: UInt32, length: UInt32, root: Digest, holders: [Holder]) {
    self.index = index
    self.length = length
    self.root = root
    self.holders = holders
  }
}

/// A part of a file's list of chunks, in the file's order.
package struct ManifestPage: Sendable, Hashable {
  /// The place in the file of the first of `chunks`: a multiple of 512.
  package var firstChunk: UInt64
  package var chunks: [ChunkReference]
  /// The page to ask for next; `nil` at the end of the file.
  package var nextPage: UInt32?
}

/// What a finished write got.
package struct WriteReceipt: Sendable, Hashable {
  package var inode: InodeID
  package var revision: Revision
  /// The copies of the chunk that has fewest; zero for contents that live in the metadata.
  package var replicas: UInt8
  /// The zones of the chunk that is in fewest.
  package var zones: UInt8
  /// The version that the name stood for before.
  package var replaced: InodeID?
}
