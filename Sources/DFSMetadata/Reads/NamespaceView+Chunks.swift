package import DFSCore
import DFSKeyValue

// What repair and sweep ask of chunks that they met somewhere.

extension NamespaceView {
  /// The references that versions, condemned ones included, and sealed segments of open uploads have to these
  /// chunks; chunks that nothing names are left out.
  ///
  /// Chunks of one version are looked up together: pass them in order of id. An index says where it was
  /// allocated, which is about where the file has it, so it is looked for from there outwards.
  package func references(of chunks: some Sequence<ChunkID>) throws -> [ChunkID: ChunkReference] {
    var found: [ChunkID: ChunkReference] = [:]
    var lookup: VersionLookup?
    for chunk in chunks {
      if lookup?.inode != chunk.inode { lookup = try VersionLookup(chunk.inode, in: self) }
      found[chunk] = try lookup?.reference(chunk.index)
    }
    return found
  }

  package func reference(of chunk: ChunkID) throws -> ChunkReference? { try references(of: [chunk])[chunk] }

  /// Whether `inode` is an upload that may still become a version: every id that was allocated to it is alive.
  package func isOpenUpload(_ inode: InodeID) throws -> Bool {
    try reader.value(for: Keys.upload(inode)) != nil
  }

  /// Those of `inodes` that are condemned as a whole: a version that lost its name for good, an upload that was
  /// given up.
  package func condemned(among inodes: Set<InodeID>) throws -> Set<InodeID> {
    try inodes.filter { inode in
      try condemnations(of: inode).contains { $0.kind == .version || $0.kind == .upload }
    }
  }
}

/// Finds the references of one version or upload by index, reading each of its segments at most once.
struct VersionLookup {
  let inode: InodeID
  private var view: NamespaceView
  /// Segments that were not read yet, in order.
  private var unread: [UInt32] = []
  private var known: [UInt32: ChunkReference] = [:]

  init(_ inode: InodeID, in view: NamespaceView) throws {
    self.inode = inode
    self.view = view
    switch try self.view.record(Keys.inode(inode), InodeRecord.self) {
    case .file(let file):
      switch file.contents {
      case .inline: break
      case .chunks(let references): learn(references)
      case .segments(let count): unread = Array(0..<count)
      }
    case .directory: break
    case nil:
      // An upload that is open, or was given up and is not reaped yet.
      try view.reader.scan(KeyRange(prefix: Keys.segments(of: inode))) { key, _ in
        unread.append(try Keys.number(key, at: 10))
        return .goOn
      }
    }
  }

  mutating func reference(_ index: UInt32) throws -> ChunkReference? {
    let start = index / UInt32(Limits.segmentChunks)
    while known[index] == nil {
      // Indices that were never used push the others to later pages, so the segment is at `start` or before it.
      guard let place = unread.lastIndex(where: { $0 <= start }) ?? unread.indices.first else { return nil }
      let segment = try view.record(Keys.segment(inode, unread.remove(at: place)), SegmentRecord.self)
      learn(segment?.chunks ?? [])
    }
    return known[index]
  }

  private mutating func learn(_ references: [ChunkReference]) {
    for reference in references { known[reference.index] = reference }
  }
}
