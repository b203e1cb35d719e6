import DFSCore
import DequeModule
import Synchronization

/// The latest settled rounds, for those who keep copies: as many as fit into a budget, one buffer for all
/// readers.
///
/// The rounds' thread only adds and never waits: a reader that fell behind the oldest round that is left is told
/// so, and takes a checkpoint.
package final class RoundFeed: Sendable {
  /// What a reader gets.
  package enum Reading: Sendable {
    /// The rounds that follow, in order; at least one.
    case rounds([SettledRound])
    case upToDate
    /// What follows is not here any more, or never was: this reader's history is another one.
    case gap
  }

  private struct State {
    var rounds: Deque<SettledRound> = []
    var bytes = 0
    var last: RoundMark
    var isEnded = false
    var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }

  private let budget: Int
  private let state: Mutex<State>

  init(last: RoundMark, budget: ByteCount) {
    self.budget = budget.int
    state = Mutex(State(last: last))
  }

  /// The last settled round.
  package var last: RoundMark { state.withLock { $0.last } }

  func publish(_ round: SettledRound) {
    let waiting = state.withLock { state in
      state.rounds.append(round)
      state.bytes += round.byteCount
      state.last = round.mark
      // A single round that is larger than the budget stays all the same.
      while state.bytes > budget, state.rounds.count > 1 {
        state.bytes -= state.rounds.removeFirst().byteCount
      }
      defer { state.waiting = [:] }
      return state.waiting
    }
    for continuation in waiting.values { continuation.resume() }
  }

  /// No more rounds follow.
  func end() {
    let waiting = state.withLock { state in
      state.isEnded = true
      defer { state.waiting = [:] }
      return state.waiting
    }
    for continuation in waiting.values { continuation.resume() }
  }

  /// What a copy that shows `mark` takes next: at least one round, further ones up to about `bytes`.
  package func rounds(after mark: RoundMark, upTo bytes: Int) -> Reading {
    state.withLock { state in
      if mark == state.last { return .upToDate }
      guard let start = Self.index(after: mark.round, in: state.rounds),
        state.rounds[start].previous == mark
      else { return .gap }
      var taken: [SettledRound] = []
      var size = 0
      for round in state.rounds[start...] {
        size += round.byteCount
        if size > bytes, !taken.isEmpty { break }
        taken.append(round)
      }
      return .rounds(taken)
    }
  }

  /// When the round after `round` was settled: since then a copy that shows `round` is behind. `nil` when it is
  /// not, or when that round has left the buffer.
  package func settledAt(after round: UInt64) -> Duration? {
    state.withLock { state in
      Self.index(after: round, in: state.rounds).map { state.rounds[$0].settledAt }
    }
  }

  /// Returns once there is a round after `round`, when the namespace has ended, or when the task is cancelled.
  package func wait(after round: UInt64) async {
    let id = state.withLock { state in
      defer { state.nextWaiter += 1 }
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if state.last.round > round || state.isEnded || Task.isCancelled { return true }
          state.waiting[id] = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
    }
  }

  private static func index(after round: UInt64, in rounds: Deque<SettledRound>) -> Int? {
    guard let first = rounds.first?.mark.round, round &+ 1 >= first else { return nil }
    let index = round &+ 1 - first
    return index < UInt64(rounds.count) ? Int(index) : nil
  }
}
