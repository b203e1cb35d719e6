import DFSCore
import DFSKeyValue

/// One round as a value: executes operations one after another, then seals what they changed into one batch.
struct Round {
  private(set) var transaction: Transaction
  private let previous: RoundMark
  private let term: UInt64
  /// An hour of results to forget with this round.
  private let forgotten: KeyRange?

  /// A round after the one that left `previous` and `state` in `base`.
  init(
    over base: any StoreReader, previous: RoundMark, term: UInt64, state: StateRecord, context: RoundContext
  ) {
    self.previous = previous
    self.term = term
    transaction = Transaction(over: base, state: state, context: context)
    forgotten = transaction.turnHour()
  }

  mutating func perform<M: Mutation>(_ mutation: M, id: RequestID?) throws -> Settled<M.Outcome> {
    try transaction.perform(mutation, id: id)
  }

  /// Changes that are no operation of anybody's.
  mutating func edit(_ body: (inout Transaction) throws -> Void) rethrows { try body(&transaction) }

  /// What a ledger settles and what follows from it.
  struct Sealed {
    var batch: LedgerBatch
    var derived: [WriteBatch.Change]
    var state: StateRecord
    var notices: [RoundNotice]
  }

  /// The batch, or `nil` when no operation changed anything and none is `isForced`.
  mutating func seal(isForced: Bool = false) throws -> Sealed? {
    guard isForced || transaction.state.revision != transaction.revisionBefore else { return nil }
    transaction.updateDigests()
    let mark = RoundMark(term: term, round: previous.round + 1)
    var changes = WriteBatch()
    var derived: [WriteBatch.Change] = []
    try transaction.changes.forEachChange { key, old, new in
      if let new { changes.put(key, new) } else { changes.delete(key) }
      derived += try DerivedIndex.changes(key, from: old, to: new)
    }
    if let forgotten { changes.deleteRange(forgotten) }
    changes.put(Keys.state, transaction.state.encoded)
    changes.put(Keys.round, mark.encoded)
    return Sealed(
      batch: LedgerBatch(previous: previous, mark: mark, changes: changes), derived: derived,
      state: transaction.state, notices: transaction.notices)
  }
}
