package import DFSCore
package import DFSKeyValue

/// What a ledger accepts in one batch. Work is split *between* batches to fit; a batch is never split.
package struct LedgerLimits: Sendable, Hashable {
  /// Puts, deletes and range deletes together.
  package var operations: Int
  /// Keys and values together.
  package var bytes: ByteCount

  package init(operations: Int, bytes: ByteCount) {
    self.operations = operations
    self.bytes = bytes
  }
  /// etcd's defaults, with room for the transaction's own framing.
  package static let etcd = LedgerLimits(operations: 128, bytes: .kib(1536))
}

/// Names one batch: the leader's term, and a number that grows by one with each batch for ever.
package struct RoundMark: Sendable, Hashable, Comparable {
  package var term: UInt64
  package var round: UInt64

  package init(term: UInt64, round: UInt64) {
    self.term = term
    self.round = round
  }
  package static let none = RoundMark(term: 0, round: 0)
  package static func < (left: Self, right: Self) -> Bool {
    (left.round, left.term) < (right.round, right.term)
  }
}

/// One round's changes. Names each key once, and puts `mark` under `Keys.round` among them.
package struct LedgerBatch: Sendable {
  /// What `Keys.round` must say for this batch to apply.
  package var previous: RoundMark
  package var mark: RoundMark
  package var changes: WriteBatch
}

/// Where metadata becomes durable: the seam between the rounds and one machine's disk or, later, a consensus
/// service.
///
/// One call at a time; calls block.
package protocol Ledger: Sendable {
  var limits: LedgerLimits { get }

  /// Brings `store` up to everything that is durable; before the first `settle`.
  func catchUp(_ store: any OrderedStore) throws

  /// Makes `batch` durable, then applies it to `store` with `derived`, the changes of keys that live there
  /// only.
  ///
  /// Throws `.exhausted` or `.invalidArgument` when nothing was done and nothing will be; `.stale` when
  /// another leader has taken over; `.outcomeUnknown` when the batch may or may not be durable: then this
  /// process may not go on.
  func settle(_ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]) throws
}
