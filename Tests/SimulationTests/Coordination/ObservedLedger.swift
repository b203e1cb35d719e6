import DFSCore
import DFSKeyValue
import DFSMetadata

/// A ledger that says "durable" of what is only buffered: for the test of the checkers.
struct ForgetfulLedger: Ledger {
  let limits = StandaloneLedger().limits
  func catchUp(_ store: any OrderedStore) throws {}
  func settle(_ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]) throws {
    var changes = batch.changes
    for change in derived {
      switch change {
      case .put(let key, let value): changes.put(key, value)
      case .delete(let key): changes.delete(key)
      case .deleteRange(let range): changes.deleteRange(range)
      }
    }
    // Now and then the disk has caught up.
    try store.apply(changes, durability: batch.mark.round % 40 == 0 ? .synced : .buffered)
  }
}

/// A ledger of the product, seen by the world: each batch that is durable is shown, and the process may die at
/// the worst moment.
final class ObservedLedger: Ledger, @unchecked Sendable {
  /// How a settlement ends when the process is to die of it.
  enum Fate {
    case fine
    /// Nothing was done, and the caller does not know.
    case lostBefore
    /// It is durable, and the caller does not know.
    case lostAfter
  }

  private let base: any Ledger
  // SAFETY: a world has one thread.
  var settled: (LedgerBatch, any OrderedStore) -> Void = { _, _ in }
  var fate: () -> Fate = { .fine }

  init(_ base: any Ledger) { self.base = base }

  var limits: LedgerLimits { base.limits }
  func catchUp(_ store: any OrderedStore) throws { try base.catchUp(store) }

  func settle(_ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]) throws {
    let fate = fate()
    if fate == .lostBefore { throw DFSError(.outcomeUnknown, "the disk did not answer") }
    try base.settle(batch, in: store, derived: derived)
    settled(batch, store)
    if fate == .lostAfter { throw DFSError(.outcomeUnknown, "the disk did not answer") }
  }
}
