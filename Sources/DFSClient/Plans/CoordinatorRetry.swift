import DFSCore
import DFSRPC

/// Decides after a failed call to the coordinator whether to ask again, and what to tell when not.
///
/// A mutation is sent again with the same request id, so repeating is safe. Once one attempt may have been
/// executed, only a definite answer settles it: when patience ends first, the outcome is reported as unknown,
/// never as failed. What only prepares a file that is not visible yet has failed in any case: whether the coordinator
/// remembers it matters to nobody.
struct CoordinatorRetry: Sendable {
  enum Kind: Sendable { case read, preparation, mutation }
  enum Decision: Sendable {
    case retry(after: Duration)
    case fail(DFSError)
  }

  static let firstPause: Duration = .milliseconds(50)
  static let longestPause: Duration = .seconds(2)

  let kind: Kind
  let started: ContinuousClock.Instant
  let patience: Duration
  /// How long it goes on while the coordinator answers that too few datanodes are there.
  let shortage: Duration
  private var shortSince: ContinuousClock.Instant?
  private var attempts = 0
  private(set) var mayHaveHappened = false

  init(_ kind: Kind, started: ContinuousClock.Instant, patience: Duration, shortage: Duration) {
    self.kind = kind
    self.started = started
    self.patience = patience
    self.shortage = shortage
  }

  /// `chance` is from 0 to 1 and spreads the clients of a restarted coordinator.
  mutating func decide(after error: DFSError, now: ContinuousClock.Instant, chance: Double) -> Decision {
    attempts += 1
    if kind == .mutation, leavesDoubt(error) { mayHaveHappened = true }
    guard isTransient(error.code) else { return .fail(settle(error)) }
    let ceiling = min(Self.longestPause, Self.firstPause * (1 << min(attempts - 1, 10)))
    let pause = ceiling / 2 + ceiling / 2 * chance
    guard started.duration(to: now) + pause < patience, isWorthWaiting(error, now, pause) else {
      return .fail(settle(error))
    }
    return .retry(after: pause)
  }

  /// Datanodes that are started with their coordinator register a moment later, so the answer is not final at
  /// once.
  private mutating func isWorthWaiting(
    _ error: DFSError, _ now: ContinuousClock.Instant, _ pause: Duration
  ) -> Bool {
    guard error.isTooFewNodes else {
      shortSince = nil
      return true
    }
    let since = shortSince ?? now
    shortSince = since
    return since.duration(to: now) + pause < shortage
  }

  private func isTransient(_ code: DFSError.Code) -> Bool {
    switch code {
    case .unavailable, .outcomeUnknown: true
    // One attempt timed out; patience decides about the whole.
    case .deadlineExceeded: true
    // The coordinator's queue is full for the moment. A full disk answers the same, and patience ends it.
    case .exhausted: attempts < 4
    default: false
    }
  }

  private func leavesDoubt(_ error: DFSError) -> Bool {
    switch error.code {
    case .outcomeUnknown, .deadlineExceeded, .cancelled: true
    default: error.cause is MaybeProcessed
    }
  }

  /// A refusal after a doubtful attempt is definite: the same id would have got the first attempt's result.
  private func settle(_ error: DFSError) -> DFSError {
    if kind == .preparation, error.code == .outcomeUnknown {
      return DFSError(
        .unavailable, "the coordinator does not say whether it has taken a part of the upload",
        metadata: error.metadata, cause: error)
    }
    let isRefusal = !isTransient(error.code) && error.code != .cancelled
    guard mayHaveHappened, !isRefusal else { return error }
    return DFSError(
      .outcomeUnknown,
      "the coordinator may or may not have done it; look before you repeat it",
      metadata: error.metadata, cause: error)
  }
}
