import DFSCore
package import DFSKeyValue

/// The ledger of a coordinator that stands alone: a batch is durable when the local store has synced it.
package struct StandaloneLedger: Ledger {
  package let limits: LedgerLimits
  private let lastRound: LastRound?

  /// A batch must fit into one message to the datanodes that keep a copy, which has at most 4 MiB.
  /// With `lastRound`, a store that lost acknowledged rounds is refused.
  package init(
    limits: LedgerLimits = LedgerLimits(operations: 4096, bytes: .mib(3)), lastRound: LastRound? = nil
  ) {
    self.limits = limits
    self.lastRound = lastRound
  }

  package func catchUp(_ store: any OrderedStore) throws {
    try lastRound?.check(try store.value(for: Keys.round).map { try RoundMark(stored: $0) } ?? .none)
  }

  package func settle(
    _ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]
  ) throws {
    try store.apply(batch.changes.adding(derived), durability: .synced)
    lastRound?.note(batch.mark)
  }
}

extension WriteBatch {
  /// The same changes, then `more`.
  func adding(_ more: [Change]) -> WriteBatch {
    var batch = self
    for change in more {
      switch change {
      case .put(let key, let value): batch.put(key, value)
      case .delete(let key): batch.delete(key)
      case .deleteRange(let range): batch.deleteRange(range)
      }
    }
    return batch
  }
}
