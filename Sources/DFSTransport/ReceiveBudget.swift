package import DFSCore
import NIOConcurrencyHelpers

/// The process-wide bound on received bytes: everything that peers may still send plus everything that is
/// received and not yet consumed, over all connections.
///
/// A connection takes from it before it opens its window further and gives back what it withholds, so
/// windows shrink as connections and streams grow. Every connection has a floor of its own (the
/// protocol's 64 KiB), so none can be starved to a stop.
package final class ReceiveBudget: Sendable {
  package let limit: ByteCount
  private let state: NIOLockedValueBox<State>

  private struct State {
    var used = 0
    var connections = 0
    var busy = 0
    /// Bytes of messages that are not complete yet.
    var arriving = 0
  }

  package init(limit: ByteCount) {
    self.limit = limit
    state = NIOLockedValueBox(State())
  }

  /// What is taken at the moment.
  package var used: ByteCount { ByteCount(state.withLockedValue { $0.used }) }

  /// The fair part of a connection with open streams, were all such as busy as it is.
  func share() -> Int { state.withLockedValue { limit.int / max(1, $0.busy) } }

  /// Counts a connection from its start to its end; returns how far its window opens before it has proved
  /// busy.
  func open() -> Int {
    state.withLockedValue {
      $0.connections += 1
      return max(ConnectionCredit.floor, min(1 << 20, limit.int / (4 * $0.connections)))
    }
  }

  func close() { state.withLockedValue { $0.connections -= 1 } }

  /// A connection has streams again: what its window holds counts, even where that goes past the limit
  /// for a while.
  func join(taking bytes: Int) {
    state.withLockedValue {
      $0.busy += 1
      $0.used += bytes
    }
  }

  /// A connection has no streams any more. Credit can not be called back, but an idle peer does not use it.
  func leave(returning bytes: Int) {
    state.withLockedValue {
      $0.busy -= 1
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

  /// Takes `wanted` bytes for a connection that is stuck: up to twice the limit.
  func takeLoan(_ wanted: Int) -> Bool {
    state.withLockedValue {
      guard $0.used + wanted <= 2 * limit.int else { return false }
      $0.used += wanted
      return true
    }
  }

  /// Counts bytes of messages that are arriving: they are in memory although their credit went back at once.
  /// Returns whether there are too many of them.
  func arrived(_ bytes: Int) -> Bool {
    state.withLockedValue {
      $0.arriving += bytes
      return $0.arriving > limit.int
    }
  }

  func give(_ bytes: Int) { state.withLockedValue { $0.used -= bytes } }
}
