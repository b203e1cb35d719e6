import DFSCore
import DFSMetadata

/// What one node said that it has of a group, from some chunk on, in order of id.
struct GroupInventory: Sendable {
  /// What the node is to the group; better sources first.
  enum Role: Int, Sendable, Comparable {
    case full
    /// A member that is filling or behind.
    case partial
    /// No member any more.
    case former

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  struct Replica: Sendable, Hashable {
    var length: UInt32
    var root: Digest

    init(length: UInt32, root: Digest) {
      self.length = length
      self.root = root
    }

    /// What the metadata says that a replica is.
    init(_ reference: ChunkReference) { self.init(length: reference.length, root: reference.root) }
  }

  var node: NodeID
  var role: Role
  var replicas: [ChunkID: Replica]
  /// The list speaks up to here; `nil` when it is at its end.
  var end: ChunkID?

  init(node: NodeID, role: Role, replicas: [ChunkID: Replica], end: ChunkID?) {
    self.node = node
    self.role = role
    self.replicas = replicas
    self.end = end
  }
}

/// One replica to be made on a node.
struct CopyOrder: Sendable, Hashable {
  var chunk: ChunkID
  var length: UInt32
  var root: Digest
  /// Best first.
  var sources: [NodeID]
}
