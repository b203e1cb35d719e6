import Synchronization

/// Memory that a process sets aside for one purpose, counted from the moment it is asked for until the last who
/// holds it lets go.
package final class MemoryBudget: Sendable {
  private let remaining: Atomic<Int>

  package init(_ total: ByteCount) { remaining = Atomic(total.int) }

  /// What can still be taken, in bytes.
  package var available: Int { remaining.load(ordering: .relaxed) }

  /// Takes `count` bytes; `nil` when fewer are left. Never waits.
  package func take(_ count: Int) -> MemoryLoan? {
    guard remaining.subtract(count, ordering: .relaxed).newValue >= 0 else {
      give(count)
      return nil
    }
    return MemoryLoan(count, of: self)
  }

  fileprivate func give(_ count: Int) { remaining.add(count, ordering: .relaxed) }
}

/// A part of a `MemoryBudget`, which gets it back when nobody holds this any more.
package final class MemoryLoan: Sendable {
  private let count: Int
  private let budget: MemoryBudget

  fileprivate init(_ count: Int, of budget: MemoryBudget) {
    self.count = count
    self.budget = budget
  }

  deinit { budget.give(count) }
}
