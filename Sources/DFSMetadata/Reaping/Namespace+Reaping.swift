import DFSCore
import DFSKeyValue

extension Namespace {
  /// The next condemned thing whose time has come and that nobody has pinned; `nil` when there is none,
  /// and while the namespace is held.
  /// Blocks.
  ///
  /// After each page, order the deletion of its chunks, then `mutate(Reap(page:))`, and ask again. `previous`
  /// skips: only what comes after that page's thing, for one whose nodes can not be reached now.
  package func nextCondemned(after previous: ReapPage? = nil) throws -> ReapPage? {
    guard !isHeld else { return nil }
    let now = clock.now
    let (floor, settled) = memory.with { ($0.reapFloor, $0.state.time) }
    var range = KeyRange(
      from: Keys.condemned(floor, Self.lowest), to: Keys.condemned(now + .milliseconds(1), Self.lowest))
    if let previous { range.start = Keys.condemned(previous.notBefore, previous.inode) + [0] }
    var view = try view()
    let (first, found) = try firstUnpinned(range, now: now, in: view)
    // A round under way may still condemn something, but nothing to go before the round that was settled
    // last.
    if previous == nil { memory.with { $0.reapFloor = max(floor, min(first ?? settled, settled)) } }
    guard let found else { return nil }
    var page = ReapPage(
      notBefore: found.notBefore, inode: found.inode, kind: found.record.kind, cursor: found.record.cursor,
      chunks: [], holders: found.record.orphans?.holders ?? [])
    page.chunks = try view.chunks(ofCondemned: found.inode, found.record)
    return page
  }

  private static let lowest = InodeID(rawValue: 0)
  private typealias Condemned = (notBefore: ClusterTime, inode: InodeID, record: CondemnedRecord)

  /// The first thing of `range` that is not pinned, and the time of the first at all.
  private func firstUnpinned(
    _ range: KeyRange, now: ClusterTime, in view: NamespaceView
  ) throws -> (first: ClusterTime?, found: Condemned?) {
    var first: ClusterTime?
    var found: Condemned?
    try view.reader.scan(range) { key, value in
      let time = ClusterTime(rawValue: Int64(clamping: try Keys.number(key, at: 2, as: UInt64.self)))
      let inode = InodeID(rawValue: try Keys.number(key, at: 10))
      if first == nil { first = time }
      let record = try CondemnedRecord(stored: Array(value))
      // Only versions have readers. A pin outlives the leader that gave it by nothing: its successor waits a
      // full one.
      if record.kind == .version, memory.with({ !$0.pins.isOver(inode, now: now) }) { return .goOn }
      found = (time, inode, record)
      return .stop
    }
    return (first, found)
  }
}

extension NamespaceView {
  /// The chunks that the next step of reaping forgets.
  mutating func chunks(ofCondemned inode: InodeID, _ record: CondemnedRecord) throws -> [CondemnedChunk] {
    func condemned(_ reference: ChunkReference) -> CondemnedChunk {
      CondemnedChunk(group: reference.group, chunk: ChunkID(inode: inode, index: reference.index))
    }
    switch record.kind {
    case .tree: return []
    case .orphans:
      guard let orphans = record.orphans else { return [] }
      return orphans.chunks.map { CondemnedChunk(group: orphans.group, chunk: $0) }
    case .version:
      switch try file(inode).contents {
      case .inline: return []
      case .chunks(let references): return references.map(condemned)
      case .segments:
        return try self.record(Keys.segment(inode, record.cursor), SegmentRecord.self)?.chunks.map(condemned)
          ?? []
      }
    case .upload, .leftovers:
      guard let page = try self.record(Keys.allocation(inode, record.cursor), AllocationPage.self) else {
        return []
      }
      let first = record.cursor * UInt32(Limits.segmentChunks)
      return page.groups.indices.compactMap { position in
        guard record.kind == .upload || !page.isUsed[position] else { return nil }
        let chunk = ChunkID(inode: inode, index: first + UInt32(position))
        return CondemnedChunk(group: page.groups[position], chunk: chunk)
      }
    }
  }
}
