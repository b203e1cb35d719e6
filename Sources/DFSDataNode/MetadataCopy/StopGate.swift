import NIOConcurrencyHelpers

/// Ends calls that would go on for ever by themselves, such as a coordinator's stream of metadata, when the node
/// stops: each would take the drain its whole grace.
final class StopGate: Sendable {
  private struct State {
    var isClosed = false
    var lastID: UInt64 = 0
    var waiters: [UInt64: AsyncStream<Void>.Continuation] = [:]
  }

  private let state = NIOLockedValueBox(State())

  func close() {
    let waiters = state.withLockedValue { state in
      state.isClosed = true
      return Array(state.waiters.values)
    }
    for waiter in waiters { waiter.finish() }
  }

  /// Returns when the gate is closed, or the task is cancelled.
  func closed() async {
    let (stream, continuation) = AsyncStream<Void>.makeStream()
    let id: UInt64? = state.withLockedValue { state in
      guard !state.isClosed else { return nil }
      state.lastID += 1
      state.waiters[state.lastID] = continuation
      return state.lastID
    }
    guard let id else { return }
    for await _ in stream {}
    state.withLockedValue { $0.waiters[id] = nil }
  }
}
