import DFSCore
import DFSKeyValue

/// The keys that each coordinator derives from the ledger's batches and keeps in its local store only: `k/`,
/// which chunks a group has, and `y/`, which condemned records concern an inode's chunks. A function of a
/// key's values before and after, so that leader, standby and rebuild get the same.
enum DerivedIndex {
  /// Everything but `k/` and `y/`.
  static let ledgerRanges = [
    KeyRange(from: [], to: Array("k/".utf8)), KeyRange(from: Array("k0".utf8), to: Array("y/".utf8)),
    KeyRange(from: Array("y0".utf8), to: nil),
  ]

  /// Whether a key can come from the ledger, and is long enough for `changes`.
  static func isInLedger(_ key: [UInt8]) -> Bool {
    guard key.count > 2, key[1] == UInt8(ascii: "/"), !Keys.isDerived(key[0]) else { return false }
    return switch key[0] {
    case UInt8(ascii: "i"): key.count == 10
    case UInt8(ascii: "c"): key.count == 14
    case UInt8(ascii: "x"): key.count == 18
    default: true
    }
  }

  /// What changes beneath `k/` and `y/` when `key` goes from `old` to `new`.
  static func changes(
    _ key: [UInt8], from old: [UInt8]?, to new: [UInt8]?
  ) throws -> [WriteBatch.Change] {
    switch key[0] {
    case UInt8(ascii: "c"), UInt8(ascii: "i"):
      let inode = InodeID(rawValue: number(key, 2))
      func chunkKey(_ reference: ChunkReference) -> [UInt8] {
        Keys.chunk(reference.group, ChunkID(inode: inode, index: reference.index))
      }
      let before = try old.map { try references(key[0], $0) } ?? []
      let after = try new.map { try references(key[0], $0) } ?? []
      return before == after ? [] : difference(from: before.map(chunkKey), to: after.map(chunkKey))
    case UInt8(ascii: "x"):
      let (time, record) = (
        ClusterTime(rawValue: Int64(clamping: number(key, 2))), InodeID(rawValue: number(key, 10))
      )
      func condemnationKey(_ inode: InodeID) -> [UInt8] { Keys.condemnation(of: inode, at: time, record) }
      let before = try old.map { try owners($0, record) } ?? []
      let after = try new.map { try owners($0, record) } ?? []
      return before == after
        ? [] : difference(from: before.map(condemnationKey), to: after.map(condemnationKey))
    default: return []
    }
  }

  private static func number(_ key: [UInt8], _ offset: Int) -> UInt64 {
    key[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func difference(from before: [[UInt8]], to after: [[UInt8]]) -> [WriteBatch.Change] {
    let kept = Set(after)
    return before.filter { !kept.contains($0) }.map { .delete(key: $0) }
      + after.map { .put(key: $0, value: []) }
  }

  private static func references(_ letter: UInt8, _ value: [UInt8]) throws -> [ChunkReference] {
    if letter == UInt8(ascii: "c") { return try SegmentRecord(stored: value).chunks }
    guard case .file(let file) = try InodeRecord(stored: value), case .chunks(let chunks) = file.contents
    else {
      return []
    }
    return chunks
  }

  /// The inodes whose chunks a condemned record deals with, in ascending order.
  private static func owners(_ value: [UInt8], _ inode: InodeID) throws -> [InodeID] {
    let record = try CondemnedRecord(stored: value)
    switch record.kind {
    case .version, .upload, .leftovers: return [inode]
    case .tree: return []
    case .orphans: return Set((record.orphans?.chunks ?? []).map(\.inode)).sorted()
    }
  }

  /// The derived changes of a whole batch, for a store that is about to apply it.
  static func changes(of batch: WriteBatch, in store: any StoreReader) throws -> [WriteBatch.Change] {
    try batch.changes.flatMap { change -> [WriteBatch.Change] in
      switch change {
      case .put(let key, let value): try changes(key, from: try store.value(for: key), to: value)
      case .delete(let key): try changes(key, from: try store.value(for: key), to: nil)
      // Only results of mutations go by range, and nothing is derived from those.
      case .deleteRange: []
      }
    }
  }
}
