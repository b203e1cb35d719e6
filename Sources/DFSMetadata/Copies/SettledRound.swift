import DFSCore
import DFSKeyValue

/// One settled round, as a copy of the metadata takes it: what it changed, and which round it comes after.
///
/// Its encoding is a stored format (version 1): the mark before it, its own, then each change as a kind, a key
/// and a value. Decoding is strict.
package struct SettledRound: Sendable {
  package let previous: RoundMark
  package let mark: RoundMark
  let changes: WriteBatch
  /// By the namespace's own clock, to tell how far a copy is behind.
  package let settledAt: Duration
  /// About as long as its encoding.
  package let byteCount: Int

  init(_ batch: LedgerBatch, settledAt: Duration) {
    previous = batch.previous
    mark = batch.mark
    changes = batch.changes
    self.settledAt = settledAt
    byteCount = batch.changes.changes.reduce(64) { $0 + $1.byteCount + 8 }
  }

  private static let what: StaticString = "copied round"
  private static let version: UInt8 = 1
  private static let mostChanges = 1 << 16
  static let longestKey = 1024
  static let longestValue = 4 << 20

  package var encoded: [UInt8] {
    var writer = RecordWriter(reserving: byteCount)
    writer.byte(Self.version)
    previous.writeFields(to: &writer)
    mark.writeFields(to: &writer)
    writer.number(UInt(changes.changes.count))
    for change in changes.changes {
      switch change {
      case .put(let key, let value):
        writer.byte(1)
        writer.blob(key)
        writer.blob(value)
      case .delete(let key):
        writer.byte(2)
        writer.blob(key)
      case .deleteRange(let range):
        writer.byte(3)
        writer.blob(range.start)
        writer.blob(range.end ?? [])
      }
    }
    return writer.bytes
  }

  /// Throws `.corrupt`.
  package init(encoded bytes: [UInt8]) throws {
    var reader = RecordReader(bytes, Self.what)
    try reader.version(Self.version...Self.version)
    previous = try RoundMark(fieldsFrom: &reader)
    mark = try RoundMark(fieldsFrom: &reader)
    guard mark.round == previous.round &+ 1, mark.round != 0, mark.term >= previous.term else {
      throw reader.corrupt("it does not follow the round it names")
    }
    var changes = WriteBatch()
    var marks: [UInt8]?
    for _ in 0..<(try reader.count(upTo: Self.mostChanges)) {
      let kind = try reader.byte()
      let key = try reader.blob(upTo: Self.longestKey)
      guard DerivedIndex.isInLedger(key) else { throw reader.corrupt("it changes a key that is no ledger's") }
      switch kind {
      case 1:
        let value = try reader.blob(upTo: Self.longestValue)
        if key == Keys.round { marks = value }
        changes.put(key, value)
      case 2: changes.delete(key)
      case 3:
        let end = try reader.blob(upTo: Self.longestKey)
        guard key.lexicographicallyPrecedes(end) else { throw reader.corrupt("a range ends before it begins") }
        changes.deleteRange(KeyRange(from: key, to: end))
      default: throw reader.corrupt("a kind of change is unknown")
      }
    }
    try reader.finish()
    guard marks == mark.encoded else { throw reader.corrupt("its batch belongs to another round") }
    self.changes = changes
    settledAt = .zero
    byteCount = bytes.count
  }
}

extension WriteBatch.Change {
  fileprivate var byteCount: Int {
    switch self {
    case .put(let key, let value): key.count + value.count
    case .delete(let key): key.count
    case .deleteRange(let range): range.start.count + (range.end?.count ?? 0)
    }
  }
}
