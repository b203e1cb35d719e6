import DFSCore
import DFSKeyValue
import Foundation

/// The memory of a `MemoryLedger`: what etcd would be, with its limits, its fence, and its ways to lose an
/// answer. Several ledgers may share one, as coordinators do.
package final class MemoryLedgerService: @unchecked Sendable {
  /// How often, of a thousand transactions, each fault happens.
  package struct Faults: Sendable {
    /// Applied, but the answer is lost.
    package var lostAnswers = 0
    /// Not applied before the caller has given up on it; applied later, unless its compare fails by then.
    package var lateTransactions = 0
    /// Neither applied nor answered.
    package var lostRequests = 0
    package init() {}
    package static let none = Faults()
    /// Each fault once in ten transactions or so.
    package static let many: Faults = {
      var faults = Faults()
      faults.lostAnswers = 100
      faults.lateTransactions = 100
      faults.lostRequests = 100
      return faults
    }()
  }

  /// What the caller learns of one attempt.
  enum Answer: Sendable {
    case applied
    /// `Keys.round` says something else than the batch expects.
    case refused
    case unknown
  }

  // SAFETY: everything below is touched under `lock` only.
  private let lock = NSLock()
  private var batches: [LedgerBatch] = []
  private var late: [LedgerBatch] = []
  private var faults: Faults
  private var random: Chance

  /// The same seed gives the same faults.
  package init(faults: Faults = .none, seed: UInt64 = 0) {
    self.faults = faults
    random = Chance(state: seed)
  }

  package func set(_ faults: Faults) { lock.withLock { self.faults = faults } }

  /// How many batches are durable.
  package var batchCount: Int { lock.withLock { batches.count } }

  /// Of the last durable batch: a linearizable read, which no fault touches.
  package var mark: RoundMark {
    lock.withLock {
      arrive()
      return batches.last?.mark ?? .none
    }
  }

  /// The durable batches after round `round`.
  func batches(after round: UInt64) -> ArraySlice<LedgerBatch> {
    lock.withLock {
      arrive()
      return batches.dropFirst(Int(clamping: round))
    }
  }

  func transact(_ batch: LedgerBatch) -> Answer {
    lock.withLock {
      arrive()
      let chance = Int.random(in: 0..<1000, using: &random)
      if chance < faults.lostRequests { return .unknown }
      if chance < faults.lostRequests + faults.lateTransactions {
        late.append(batch)
        return .unknown
      }
      let isApplied = apply(batch)
      if chance < faults.lostRequests + faults.lateTransactions + faults.lostAnswers { return .unknown }
      return isApplied ? .applied : .refused
    }
  }

  /// Late transactions come in when somebody else calls; each may also stay away a little longer.
  private func arrive() {
    var waiting: [LedgerBatch] = []
    for batch in late {
      if Bool.random(using: &random) { _ = apply(batch) } else { waiting.append(batch) }
    }
    late = waiting
  }

  private func apply(_ batch: LedgerBatch) -> Bool {
    guard batches.last?.mark ?? .none == batch.previous else { return false }
    batches.append(batch)
    return true
  }

  /// Knuth's MMIX generator, enough to choose faults.
  private struct Chance: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 32) | (state << 32)
    }
  }
}
