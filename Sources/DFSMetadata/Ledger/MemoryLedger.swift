import DFSCore
package import DFSKeyValue

/// The ledger's test twin: durable in memory, under etcd's limits and with etcd's faults. A batch whose
/// outcome is unknown is sent again, the same, until it applies or the mark shows that it did.
package struct MemoryLedger: Ledger {
  /// The places between which a process may die.
  package enum Step: Sendable, CaseIterable {
    case beforeSending
    case afterSending
    case afterApplying
  }

  package let limits = LedgerLimits.etcd
  private let service: MemoryLedgerService
  /// Called at each step; throws what the caller is to see, as if the process had died there.
  private let atStep: @Sendable (Step) throws -> Void
  private static let attempts = 1000

  package init(_ service: MemoryLedgerService, atStep: @escaping @Sendable (Step) throws -> Void = { _ in }) {
    self.service = service
    self.atStep = atStep
  }

  package func catchUp(_ store: any OrderedStore) throws {
    let mark = try store.value(for: Keys.round).map { try RoundMark(stored: $0) } ?? .none
    var last = mark
    for batch in service.batches(after: mark.round) {
      guard batch.previous == last else {
        throw DFSError(
          .corrupt, "round \(last.round) of the local store is not the ledger's: build the store anew")
      }
      let derived = try DerivedIndex.changes(of: batch.changes, in: store)
      try store.apply(batch.changes.adding(derived), durability: .buffered)
      last = batch.mark
    }
    guard service.mark == last else {
      throw DFSError(.stale, "the ledger moved on while the local store caught up")
    }
  }

  package func settle(
    _ batch: LedgerBatch, in store: any OrderedStore, derived: [WriteBatch.Change]
  ) throws {
    try check(batch)
    try atStep(.beforeSending)
    try send(batch)
    try atStep(.afterSending)
    do { try store.apply(batch.changes.adding(derived), durability: .buffered) } catch {
      throw DFSError(.outcomeUnknown, "a durable batch could not be applied to the local store", cause: error)
    }
    try atStep(.afterApplying)
  }

  private func send(_ batch: LedgerBatch) throws {
    for _ in 0..<Self.attempts {
      switch service.transact(batch) {
      case .applied: return
      case .unknown: continue
      case .refused:
        // An attempt before this one may have come in late.
        if service.mark == batch.mark { return }
        throw DFSError(.stale, "another coordinator leads: this one's term \(batch.mark.term) is over")
      }
    }
    throw DFSError(.outcomeUnknown, "the ledger did not answer \(Self.attempts) times")
  }

  private func check(_ batch: LedgerBatch) throws {
    var keys: Set<[UInt8]> = []
    var bytes = 0
    for change in batch.changes.changes {
      switch change {
      case .put(let key, let value):
        bytes += key.count + value.count
        guard keys.insert(key).inserted else { throw refuse("names a key twice") }
      case .delete(let key):
        bytes += key.count
        guard keys.insert(key).inserted else { throw refuse("names a key twice") }
      case .deleteRange(let range): bytes += range.start.count + (range.end?.count ?? 0)
      }
    }
    for case .deleteRange(let range) in batch.changes.changes {
      guard !keys.contains(where: { contains(range, $0) }) else {
        throw refuse("changes a key of a range that it deletes")
      }
    }
    guard batch.changes.changes.count <= limits.operations else { throw refuse("has too many operations") }
    guard bytes <= limits.bytes.int else { throw refuse("has too many bytes") }
  }

  private func refuse(_ why: String) -> DFSError {
    DFSError(.invalidArgument, "the ledger refuses a batch: it \(why)")
  }

  private func contains(_ range: KeyRange, _ key: [UInt8]) -> Bool {
    guard !key.lexicographicallyPrecedes(range.start) else { return false }
    guard let end = range.end else { return true }
    return key.lexicographicallyPrecedes(end)
  }
}
