import DFSCore
import DFSKeyValue

/// The keys that each coordinator derives from the ledger's batches and keeps in its local store only: `k/`,
/// which chunks a group has. A function of a key's values before and after, so that leader, standby and
/// rebuild get the same.
enum DerivedIndex {
  /// Everything but `k/`.
  static let ledgerRanges = [
    KeyRange(from: [], to: Array("k/".utf8)), KeyRange(from: Array("k0".utf8), to: nil),
  ]

  /// Whether a key of the store came from the ledger.
  static func isInLedger(_ key: [UInt8]) -> Bool {
    key.count > 2 && key[1] == UInt8(ascii: "/") && key[0] != UInt8(ascii: "k")
  }

  /// What changes beneath `k/` when `key` goes from `old` to `new`.
  static func changes(
    _ key: [UInt8], from old: [UInt8]?, to new: [UInt8]?
  ) throws -> [WriteBatch.Change] {
    let letter = key[0]
    guard letter == UInt8(ascii: "c") || letter == UInt8(ascii: "i") else { return [] }
    let inode = InodeID(rawValue: key[2..<10].reduce(0) { $0 << 8 | UInt64($1) })
    let before = try old.map { try references(letter, $0) } ?? []
    let after = try new.map { try references(letter, $0) } ?? []
    guard before != after else { return [] }
    func chunkKey(_ reference: ChunkReference) -> [UInt8] {
      Keys.chunk(reference.group, ChunkID(inode: inode, index: reference.index))
    }
    let kept = Set(after.map(chunkKey))
    return before.map(chunkKey).filter { !kept.contains($0) }.map { .delete(key: $0) }
      + after.map { .put(key: chunkKey($0), value: []) }
  }

  private static func references(_ letter: UInt8, _ value: [UInt8]) throws -> [ChunkReference] {
    if letter == UInt8(ascii: "c") { return try SegmentRecord(stored: value).chunks }
    guard case .file(let file) = try InodeRecord(stored: value), case .chunks(let chunks) = file.contents
    else {
      return []
    }
    return chunks
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
