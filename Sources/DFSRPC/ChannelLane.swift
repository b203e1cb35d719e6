import DFSCore
import DFSTransport
import Logging
import NIOConcurrencyHelpers
import NIOCore

/// A channel's part on one loop: keeps one connection, opens another when that ends, and holds the calls that
/// wait for one. What to do is `ChannelState`'s decision; this does it. Any thread may call.
///
/// While the state is connecting there is an opener, the one task that opens connections. It goes on through
/// failures and pauses for as long as calls wait, and ends when none does.
final class ChannelLane: Sendable {
  typealias Patience = ChannelState<Link>.Patience

  struct Link: Sendable {
    let id: UInt64
    let connection: RPCConnection
  }

  private struct Waiter {
    let patience: Patience
    let continuation: CheckedContinuation<Link, any Error>
    let timer: Scheduled<Void>?

    func resume(with result: Result<Link, any Error>) {
      timer?.cancel()
      continuation.resume(with: result)
    }
  }

  /// What the opener does next.
  private enum Work {
    case connect(Endpoint)
    case pause(until: ContinuousClock.Instant)
  }

  private struct State {
    var channel: ChannelState<Link>
    var random = SystemRandom()
    var waiters: [UInt64: Waiter] = [:]
    /// Numbers waiters, openers and connections.
    var lastID: UInt64 = 0
    var opener: (id: UInt64, task: Task<Void, Never>)?
    /// Why the last attempt failed.
    var lastFailure: DFSError?

    mutating func nextID() -> UInt64 {
      lastID += 1
      return lastID
    }
  }

  private let executor: LoopExecutor
  private let configuration: RPCConnection.Configuration
  private let loops: NetworkLoops
  private let logger: Logger
  private let state: NIOLockedValueBox<State>

  init(
    endpoints: [Endpoint], executor: LoopExecutor, configuration: RPCConnection.Configuration,
    longestBackoff: Duration, loops: NetworkLoops, logger: Logger
  ) {
    self.executor = executor
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
    let channel = ChannelState<Link>(endpoints: endpoints, backoff: ReconnectBackoff(longest: longestBackoff))
    state = NIOLockedValueBox(State(channel: channel))
  }

  // MARK: - Getting a connection

  /// The connection, once there is one. Throws why there is none: at once or after a round of attempts when
  /// `.failFast`; at the deadline; `.cancelled` when the task is.
  nonisolated(nonsending) func link(_ patience: Patience, deadline: ContinuousClock.Instant?) async throws
    -> Link
  {
    if let link = state.withLockedValue({ $0.channel.current }), link.connection.isUsable { return link }
    let id = state.withLockedValue { $0.nextID() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { park($0, id, patience, deadline) }
    } onCancel: {
      // It may come before the waiter is parked; `park` asks again.
      release(id, DFSError(.cancelled, "the call was cancelled"))
    }
  }

  private func park(
    _ continuation: CheckedContinuation<Link, any Error>, _ id: UInt64, _ patience: Patience,
    _ deadline: ContinuousClock.Instant?
  ) {
    let timer = deadline.map { deadline in
      executor.loop.scheduleTask(in: Self.timeLeft(until: deadline)) { [weak self] () -> Void in
        guard let self else { return }
        let reason = state.withLockedValue { $0.lastFailure }
        release(id, DFSError(.deadlineExceeded, "there was no connection before the deadline", cause: reason))
      }
    }
    let waiter = Waiter(patience: patience, continuation: continuation, timer: timer)
    let outcome: Result<Link, any Error>? = state.withLockedValue { state in
      switch ask(patience, &state) {
      case .use(let link): return .success(link)
      case .fail(let error): return .failure(error)
      case .connect(let endpoint): startOpener(.connect(endpoint), &state)
      case .wait(let until):
        if let until, state.opener == nil { startOpener(.pause(until: until), &state) }
      }
      state.waiters[id] = waiter
      return nil
    }
    if let outcome { return waiter.resume(with: outcome) }
    if Task.isCancelled { release(id, DFSError(.cancelled, "the call was cancelled")) }
  }

  /// A connection whose end is not reported yet does not count.
  private func ask(_ patience: Patience, _ state: inout State) -> ChannelState<Link>.Answer {
    let answer = state.channel.wants(patience, now: .now)
    guard case .use(let link) = answer, !link.connection.isUsable else { return answer }
    state.channel.didEnd(link.id, Self.lost(link.connection), now: .now, using: &state.random)
    return state.channel.wants(patience, now: .now)
  }

  private func release(_ id: UInt64, _ error: DFSError) {
    state.withLockedValue { $0.waiters.removeValue(forKey: id) }?.resume(with: .failure(error))
  }

  private static func timeLeft(until deadline: ContinuousClock.Instant) -> TimeAmount {
    // A timer of more than a year is none, and would overflow the loop's clock.
    let left = max(.zero, min(ContinuousClock.now.duration(to: deadline), .seconds(365 * 86_400)))
    return .nanoseconds(Int64(left / .nanoseconds(1)))
  }

  private static func lost(_ connection: RPCConnection) -> DFSError {
    lost(connection.endpoint)
  }

  private static func lost(_ endpoint: Endpoint) -> DFSError {
    DFSError(.unavailable, "the connection to \(endpoint) has ended", cause: NotProcessed())
  }

  // MARK: - Losing one

  /// Makes the next call use another connection, to the next endpoint; calls on this one go on.
  func leave(_ link: Link) {
    ended(link.id, Self.lost(link.connection))
    link.connection.drain(grace: .seconds(3600))
  }

  private func ended(_ id: UInt64, _ error: DFSError) {
    state.withLockedValue { $0.channel.didEnd(id, error, now: .now, using: &$0.random) }
  }

  /// Fails the calls that wait, and closes the connection with those that run.
  func close() async {
    let (link, waiters, opener) = state.withLockedValue { state in
      defer {
        state.waiters = [:]
        state.opener = nil
      }
      return (state.channel.close(), state.waiters.values, state.opener)
    }
    opener?.task.cancel()
    for waiter in waiters { waiter.resume(with: .failure(DFSError(.unavailable, "the channel is closed"))) }
    await opener?.task.value
    await link?.connection.close()
  }

  // MARK: - Opening one

  private func startOpener(_ work: Work, _ state: inout State) {
    // A pause that is over although its opener has not noticed yet: the new one takes its place.
    state.opener?.task.cancel()
    let id = state.nextID()
    // On the loop, as the calls' deadlines are: a busy pool of threads must not keep it from its start.
    state.opener = (id, Task(executorPreference: executor) { await self.open(work, as: id) })
  }

  private func open(_ first: Work, as id: UInt64) async {
    var work: Work? = first
    while let now = work {
      switch now {
      case .connect(let endpoint): work = await connect(to: endpoint, as: id)
      case .pause(let until):
        // Cancelled only to be replaced or closed, which the next step finds out.
        try? await Task.sleep(until: until, clock: .continuous)
        work = goOn(as: id)
      }
    }
  }

  private func connect(to endpoint: Endpoint, as opener: UInt64) async -> Work? {
    let id = state.withLockedValue { $0.nextID() }
    do {
      let connection = try await RPCConnection.connect(
        to: endpoint, configuration: configuration, on: executor, loops: loops, logger: logger
      ) { [weak self] in
        self?.ended(id, Self.lost(endpoint))
      }
      await opened(Link(id: id, connection: connection))
      return nil
    } catch {
      return failed(DFSError(wrapping: error, "cannot connect to \(endpoint)"), as: opener)
    }
  }

  private func opened(_ link: Link) async {
    let waiters: [Waiter]? = state.withLockedValue { state in
      guard state.channel.didConnect(link, id: link.id, now: .now) else { return nil }
      defer { state.waiters = [:] }
      state.opener = nil
      return Array(state.waiters.values)
    }
    guard let waiters else { return await link.connection.close() }
    for waiter in waiters { waiter.resume(with: .success(link)) }
  }

  private func failed(_ error: DFSError, as opener: UInt64) -> Work? {
    let (work, refused): (Work?, [Waiter]) = state.withLockedValue { state in
      state.lastFailure = error
      guard state.opener?.id == opener else { return (nil, []) }
      switch state.channel.didFailToConnect(error, now: .now, using: &state.random) {
      case .connect(let endpoint): return (.connect(endpoint), [])
      case .none: return (nil, [])
      case .backOff(let wait, _):
        let refused = state.waiters.filter { $0.value.patience == .failFast }
        for id in refused.keys { state.waiters[id] = nil }
        if state.waiters.isEmpty { state.opener = nil }
        return (state.waiters.isEmpty ? nil : .pause(until: .now + wait), Array(refused.values))
      }
    }
    logger.debug("connecting failed", metadata: ["error": "\(error)"])
    for waiter in refused { waiter.resume(with: .failure(error)) }
    return work
  }

  /// After a pause.
  private func goOn(as opener: UInt64) -> Work? {
    let (work, failure, waiters): (Work?, DFSError?, [Waiter]) = state.withLockedValue { state in
      guard state.opener?.id == opener else { return (nil, nil, []) }
      if state.waiters.isEmpty {
        state.opener = nil
        return (nil, nil, [])
      }
      switch state.channel.wants(.waitForReady, now: .now) {
      case .connect(let endpoint): return (.connect(endpoint), nil, [])
      case .wait(let until): return (.pause(until: until ?? .now + .milliseconds(10)), nil, [])
      case .fail(let error):
        defer { state.waiters = [:] }
        return (nil, error, Array(state.waiters.values))
      case .use: preconditionFailure("a channel connects by its opener alone")
      }
    }
    for waiter in waiters {
      waiter.resume(with: .failure(failure ?? DFSError(.unavailable, "no connection")))
    }
    return work
  }
}
