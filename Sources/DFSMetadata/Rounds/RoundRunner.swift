import DFSCore
import DFSKeyValue
import Dispatch
import Foundation
import Logging
import Metrics

/// Owns the thread that runs the rounds: takes what waits, executes it, settles the batch, answers everybody.
/// While one batch is being synced the next callers gather, so many share one sync.
final class RoundRunner: @unchecked Sendable {
  // SAFETY: `queue`, `isClosing`, `end`, `hasStopped` and `watchers` are touched under `condition` only;
  // `mark` and `state` by the rounds' thread only, once it was started.
  private let condition = NSCondition()
  private var queue: [any WaitingMutation] = []
  private var isClosing = false
  private var hasStopped = false
  /// Why no further mutation is possible.
  private var end: DFSError?
  private var watchers: [CheckedContinuation<DFSError?, Never>] = []
  private var mark: RoundMark
  private var state: StateRecord

  private let store: any OrderedStore
  private let ledger: any Ledger
  private let queueLimit: Int
  private let context: @Sendable () -> RoundContext
  private let settled: @Sendable (Round.Sealed) -> Void
  private let logger: Logger
  private let mutations = Counter(label: "dfs_coordinator_mutations_total")
  private let settleTime = Metrics.Timer(label: "dfs_coordinator_round_seconds")

  /// `settled` is called after each round, before its callers are answered.
  init(
    store: any OrderedStore, ledger: any Ledger, mark: RoundMark, state: StateRecord, queueLimit: Int,
    logger: Logger,
    context: @escaping @Sendable () -> RoundContext,
    settled: @escaping @Sendable (Round.Sealed) -> Void
  ) {
    self.store = store
    self.ledger = ledger
    self.mark = mark
    self.state = state
    self.queueLimit = queueLimit
    self.logger = logger
    self.context = context
    self.settled = settled
  }

  func start() {
    let thread = Thread {
      Thread.current.name = "dfs-rounds"
      self.run()
    }
    thread.start()
  }

  /// Runs one round for `waiting` alone, on the calling thread: where `start()` was never called.
  func runNow(_ waiting: any WaitingMutation) { _ = runRound([waiting]) }

  /// Queues `waiting`; answers it at once when it can not be queued.
  func enqueue(_ waiting: any WaitingMutation) {
    let (refusal, isFirst) = condition.withLock { put(waiting) }
    // After the lock is free again: a thread that wakes up to a lock which is held goes back to sleep.
    if isFirst { condition.signal() }
    if let refusal { waiting.answer(instead: refusal) }
  }

  /// Under the lock.
  private func put(_ waiting: any WaitingMutation) -> (refusal: DFSError?, isFirst: Bool) {
    if let end { return (Self.refusal(after: end), false) }
    if isClosing {
      return (DFSError(.unavailable, "the coordinator is stopping: ask another one, or later"), false)
    }
    if queue.count >= queueLimit {
      let reason = "\(queue.count) changes of the namespace wait already: try again later"
      return (DFSError(.unavailable, reason), false)
    }
    queue.append(waiting)
    return (nil, queue.count == 1)
  }

  func waitUntilEnded() async -> DFSError? {
    await withCheckedContinuation { continuation in
      let isOver: Bool = condition.withLock {
        if end != nil || hasStopped { return true }
        watchers.append(continuation)
        return false
      }
      if isOver { continuation.resume(returning: condition.withLock { end }) }
    }
  }

  func close() async {
    condition.withLock {
      isClosing = true
      condition.broadcast()
    }
    _ = await waitUntilStopped()
  }

  private var stopWatchers: [CheckedContinuation<Void, Never>] = []

  private func waitUntilStopped() async {
    await withCheckedContinuation { continuation in
      let isOver: Bool = condition.withLock {
        if !hasStopped { stopWatchers.append(continuation) }
        return hasStopped
      }
      if isOver { continuation.resume() }
    }
  }

  private static func refusal(after end: DFSError) -> DFSError {
    DFSError(
      .unavailable, "this coordinator can change nothing any more and is ending: ask another one, or later",
      cause: end)
  }
}

// On the rounds' thread.
extension RoundRunner {
  private func run() {
    while let taken = take() {
      var rest = taken[...]
      while !rest.isEmpty {
        let count = runRound(rest)
        rest = rest.dropFirst(count)
      }
    }
    let (ended, stopped, error) = condition.withLock {
      hasStopped = true
      defer { (watchers, stopWatchers) = ([], []) }
      return (watchers, stopWatchers, end)
    }
    for watcher in ended { watcher.resume(returning: error) }
    for watcher in stopped { watcher.resume() }
  }

  /// Everything that waits; `nil` when the runner is to stop.
  private func take() -> [any WaitingMutation]? {
    condition.withLock {
      while queue.isEmpty {
        if isClosing { return nil }
        condition.wait()
      }
      defer { queue = [] }
      return queue
    }
  }

  /// Runs one round with as many of `waiting` as fit, and answers those. Gives their number: at least one.
  private func runRound(_ waiting: ArraySlice<any WaitingMutation>) -> Int {
    if let end = condition.withLock({ end }) {
      for call in waiting { call.answer(instead: Self.refusal(after: end)) }
      return waiting.count
    }
    var round = Round(over: store, previous: mark, term: mark.term, state: state, context: context())
    var executed = 0
    for call in waiting {
      do { try call.execute(in: &round) } catch { break }
      executed += 1
    }
    let failure = settle(&round)
    for call in waiting.prefix(executed) { call.answer(instead: failure) }
    mutations.increment(by: executed)
    return executed
  }

  /// Makes the round durable. An error means that no caller may be told of a success.
  private func settle(_ round: inout Round) -> DFSError? {
    do {
      guard let sealed = try round.seal() else { return nil }
      let start = DispatchTime.now().uptimeNanoseconds
      try ledger.settle(sealed.batch, in: store, derived: sealed.derived)
      settleTime.recordNanoseconds(Int64(DispatchTime.now().uptimeNanoseconds - start))
      mark = sealed.batch.mark
      state = sealed.state
      settled(sealed)
      return nil
    } catch {
      let error = DFSError(wrapping: error, "the metadata could not be made durable")
      switch error.code {
      // Nothing was done, and the next round may succeed.
      case .exhausted, .invalidArgument, .unavailable: return error
      default: return stop(because: error)
      }
    }
  }

  /// Whether the round is durable is not known, or this is no longer the leader.
  private func stop(because error: DFSError) -> DFSError {
    logger.critical(
      "the outcome of a round of metadata changes is unknown; this process must end",
      metadata: ["round": "\(mark.round + 1)", "error": "\(error)"])
    let watching = condition.withLock {
      end = error
      defer { watchers = [] }
      return watchers
    }
    for watcher in watching { watcher.resume(returning: error) }
    return DFSError(
      .outcomeUnknown, "whether the change is durable is not known: ask again with the same request id",
      cause: error)
  }
}
