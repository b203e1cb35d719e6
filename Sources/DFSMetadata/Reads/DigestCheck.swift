import DFSCore
package import DFSKeyValue

/// Compares all records of a metadata store with the digest that the rounds kept, a bounded number at a time, as
/// they were at one moment. Reads every block of the store, so the engine's own checksums are compared too.
package struct DigestCheck: Sendable {
  /// The round and the incarnation that the store is at.
  package let mark: RoundMark
  package let incarnation: UInt16
  /// Records that were read so far.
  package private(set) var records: UInt64 = 0

  private let reader: any StoreReader
  private let state: StateRecord
  private var sum = StateDigest.zero
  private var hours: [UInt32: StateDigest] = [:]
  /// The next key to read; `nil` when all are read.
  private var position: [UInt8]? = []

  /// `nil` for a store without any record. Throws `.corrupt` for one whose own records in `m/` are missing or
  /// damaged, `.failedPrecondition` for a newer format. Blocks.
  package init?(of store: any OrderedStore) throws {
    let snapshot = store.snapshot()
    guard let found = try Leadership.read(snapshot) else { return nil }
    mark = found.mark
    incarnation = found.cluster.incarnation
    reader = snapshot
    state = found.state
  }

  init(reader: any StoreReader, state: StateRecord) {
    (mark, incarnation) = (.none, 0)
    self.reader = reader
    self.state = state
  }

  /// Reads about `count` more records; tells whether that was all. Throws `.corrupt` when they do not add up or can
  /// not be read. Blocks.
  package mutating func step(_ count: Int) throws -> ScanStep {
    guard let start = position else { return .stop }
    var (left, next) = (count, [UInt8]?.none)
    try reader.scan(KeyRange(from: start, to: nil)) { key, value in
      guard left > 0 else {
        next = Array(key)
        return .stop
      }
      left -= 1
      records += 1
      guard key.count > 2 else { throw DFSError(.corrupt, "the metadata store holds a key that is none of its") }
      switch key[0] {
      case UInt8(ascii: "m"): break
      case let letter where Keys.isDerived(letter): break
      case UInt8(ascii: "o"):
        hours[try Keys.number(key, at: 2, as: UInt32.self), default: .zero] += StateDigest(
          key: key, value: value)
      default: sum += StateDigest(key: key, value: value)
      }
      return .goOn
    }
    position = next
    if next == nil { try compare() }
    return next == nil ? .stop : .goOn
  }

  private func compare() throws {
    let kept = Dictionary(uniqueKeysWithValues: state.hours.map { ($0.hour, $0.digest) }).filter {
      $1 != .zero
    }
    guard sum == state.digest, hours == kept else {
      throw DFSError(.corrupt, "the records of the metadata store do not add up to their digest: restore it")
    }
  }
}
