package import DFSCore
import NIOConcurrencyHelpers

/// The process-wide bound on received bytes: everything that peers may still send plus everything that is
/// received and not yet consumed, over all connections.
///
/// A connection takes from it before it opens its window further and gives back what it withholds, so windows
/// shrink as connections and streams grow. Every connection has a floor of its own (the protocol's 64 KiB), so
/// none can be starved to a stop; the true bound is limit + connections × 64 KiB.
package final class ReceiveBudget: Sendable {
  package let limit: ByteCount
  private let state: NIOLockedValueBox<State>

  private struct State {
    var used = 0
    var holders = 0
  }

  package init(limit: ByteCount) {
    self.limit = limit
    state = NIOLockedValueBox(State())
  }

  /// What is taken at the moment.
  package var used: ByteCount { ByteCount(state.withLockedValue { $0.used }) }

  /// A connection's fair part of the budget, were all as busy as it is.
  func share() -> Int { state.withLockedValue { limit.int / max(1, $0.holders) } }

  func join() { state.withLockedValue { $0.holders += 1 } }

  func leave(returning bytes: Int) {
    state.withLockedValue {
      $0.holders -= 1
      $0.used -= bytes
    }
  }

  /// Takes up to `wanted` bytes; returns how many it got.
  func take(_ wanted: Int) -> Int {
    state.withLockedValue {
      let granted = max(0, min(wanted, limit.int - $0.used))
      $0.used += granted
      return granted
    }
  }

  func give(_ bytes: Int) { state.withLockedValue { $0.used -= bytes } }
}
