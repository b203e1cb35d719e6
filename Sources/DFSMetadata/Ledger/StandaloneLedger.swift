import DFSCore
package import DFSKeyValue

/// The ledger of a coordinator that stands alone: a batch is durable when the local store has synced it.
package struct StandaloneLedger: Ledger {
  package let limits: LedgerLimits

  /// A batch must fit into one message to the datanodes that keep a copy, which has at most 4 MiB.
  package init(limits: LedgerLimits = LedgerLimits(operations: 4096, bytes: .mib(3))) { self.limits = limits }

  package func catchUp(_ store: any OrderedStore) throws {}

  package func settle(
    _ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]
  ) throws {
    try store.apply(batch.changes.adding(derived), durability: .synced)
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
