package import DFSCore

/// The Merkle tree hash of RFC 6962, section 2.1, over blocks of 64 KiB.
///
/// A chunk of a power of two of blocks is a whole subtree of its file's tree. So the root over chunk roots
/// equals the root over all leaves, whatever the chunk size, as long as every chunk but the last is full.
package enum MerkleTree {
  /// The root of a file without bytes: the hash of nothing.
  package static let emptyRoot = SHA256.hash([])

  /// The hash of one block; 1 to 64 KiB.
  package static func leaf(_ block: UnsafeRawBufferPointer) -> Digest {
    var hash = SHA256()
    hash.update(0x00)
    hash.update(block)
    return hash.finish()
  }

  package static func node(_ left: Digest, _ right: Digest) -> Digest {
    var hash = SHA256()
    hash.update(0x01)
    hash.update(left)
    hash.update(right)
    return hash.finish()
  }

  /// The root over `nodes`, which are leaves or the roots of full chunks (the last one may be short).
  package static func root(of nodes: some Sequence<Digest>) -> Digest {
    var frontier = MerkleFrontier()
    for node in nodes { frontier.append(node) }
    return frontier.root
  }

  /// The leaves of `bytes`, block by block.
  package static func leaves(of bytes: UnsafeRawBufferPointer) -> [Digest] {
    stride(from: 0, to: bytes.count, by: Block.size).map { start in
      leaf(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + Block.size, bytes.count)]))
    }
  }

  /// Whether `block` is the one that `leaf` was made of.
  package static func verify(_ block: UnsafeRawBufferPointer, against leaf: Digest) -> Bool {
    self.leaf(block) == leaf
  }
}

/// The right edge of a growing tree: one node for every one-bit of the count, so memory is O(log n).
package struct MerkleFrontier: Sendable {
  private var edge: [Digest] = []
  package private(set) var count = 0

  package init() {}

  package mutating func append(_ node: Digest) {
    var merged = node
    var bits = count
    while bits & 1 == 1 {
      merged = MerkleTree.node(edge.removeLast(), merged)
      bits >>= 1
    }
    edge.append(merged)
    count += 1
  }

  /// The root over what was appended so far.
  package var root: Digest {
    guard var root = edge.last else { return MerkleTree.emptyRoot }
    for left in edge.dropLast().reversed() { root = MerkleTree.node(left, root) }
    return root
  }
}

/// Hashes a stream of bytes into leaves and a root in one pass, in pieces of any length.
package struct MerkleHasher: Sendable {
  private var block = SHA256()
  private var filled = 0
  private var frontier = MerkleFrontier()
  /// The leaves of the whole blocks so far; `finish()` adds the last, short one.
  package private(set) var leaves: [Digest] = []
  package private(set) var length = 0

  package init() { block.update(0x00) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Block.size - filled))
      block.update(piece)
      filled += piece.count
      length += piece.count
      if filled == Block.size { closeBlock() }
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
    }
  }

  /// Ends the stream. All leaves are in `leaves` afterwards.
  package mutating func finish() -> Digest {
    if filled > 0 { closeBlock() }
    return frontier.root
  }

  private mutating func closeBlock() {
    let leaf = block.finish()
    leaves.append(leaf)
    frontier.append(leaf)
    block = SHA256()
    block.update(0x00)
    filled = 0
  }
}
