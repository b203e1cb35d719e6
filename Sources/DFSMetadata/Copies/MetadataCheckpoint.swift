import DFSCore
import DFSKeyValue

/// A walk over the whole metadata as it was after one exact round, in pieces: the snapshot lives as long as this
/// value. Every record of the ledger is in it; what is derived is not.
///
/// A piece is a stored format (version 1): keys and values with their lengths, in ascending order of keys, over
/// all pieces. Its memory is one piece.
package struct MetadataCheckpoint: Sendable {
  /// The round that it shows.
  package let mark: RoundMark
  private let reader: any StoreReader
  private var rest: [KeyRange]

  /// No piece is longer than `largestPiece`; a walk fills them up to about this.
  static let usualPiece = 256 << 10
  package static let largestPiece = 1 << 20
  static let version: UInt8 = 1
  static let what: StaticString = "checkpoint piece"

  init(of reader: any StoreReader) throws {
    guard let mark = try reader.value(for: Keys.round) else {
      throw DFSError(.corrupt, "the metadata store does not say which round it is at")
    }
    self.mark = try RoundMark(stored: mark)
    self.reader = reader
    rest = DerivedIndex.ledgerRanges
  }

  /// The next piece; `nil` at the end. Blocks.
  package mutating func nextPiece() throws -> [UInt8]? {
    var writer = RecordWriter(reserving: Self.usualPiece + (32 << 10))
    writer.byte(Self.version)
    var isEmpty = true
    while var range = rest.first {
      var isFull = false
      try reader.scan(range) { key, value in
        if writer.bytes.count >= Self.usualPiece {
          range.start = Array(key)
          isFull = true
          return .stop
        }
        writer.blob(Array(key))
        writer.blob(Array(value))
        isEmpty = false
        return .goOn
      }
      if isFull {
        rest[0] = range
        break
      }
      rest.removeFirst()
    }
    guard writer.bytes.count <= Self.largestPiece else {
      throw DFSError(.internal, "a record of \(writer.bytes.count) bytes does not fit into a checkpoint's piece")
    }
    return isEmpty ? nil : writer.bytes
  }

  /// The records of a piece, in order. Throws `.corrupt`.
  static func records(of piece: [UInt8]) throws -> [(key: [UInt8], value: [UInt8])] {
    var reader = RecordReader(piece, Self.what)
    try reader.version(version...version)
    var records: [(key: [UInt8], value: [UInt8])] = []
    while reader.remaining > 0 {
      let key = try reader.blob(upTo: SettledRound.longestKey)
      guard DerivedIndex.isInLedger(key) else { throw reader.corrupt("it holds a key that is no ledger's") }
      if let last = records.last, !last.key.lexicographicallyPrecedes(key) {
        throw reader.corrupt("its keys are not in order")
      }
      records.append((key, try reader.blob(upTo: SettledRound.longestValue)))
    }
    return records
  }
}

extension Namespace {
  /// The latest settled rounds, for copies of the metadata.
  package var rounds: RoundFeed { feed }
  /// By the clock that `SettledRound.settledAt` goes by.
  package var elapsed: Duration { configuration.elapsed() }
  /// Begins a walk over everything as it is now. Blocks.
  package func checkpoint() throws -> MetadataCheckpoint { try MetadataCheckpoint(of: store.snapshot()) }
}
