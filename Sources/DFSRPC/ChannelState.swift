import DFSCore

/// Which endpoint a channel is connected to, connects to next, or waits for. Decides only: its owner opens
/// connections, keeps the calls that wait, and tells it what happened.
///
/// One connection at a time. An attempt that fails moves on to the next endpoint at once; when a whole round
/// has failed, the channel backs off and calls that do not want to wait fail with the last error.
struct ChannelState<Connection: Sendable>: Sendable {
  /// What a call does while there is no connection.
  enum Patience: Sendable { case failFast, waitForReady }

  enum Answer: Sendable {
    case use(Connection)
    /// Open a connection to this endpoint, then wait for what comes of it.
    case connect(Endpoint)
    /// Wait for the attempt that is under way, or until a time at which to ask again.
    case wait(until: ContinuousClock.Instant?)
    case fail(DFSError)
  }

  enum Step: Sendable {
    case connect(Endpoint)
    /// Fail the calls that are `.failFast` with the error; ask again for the others after the time.
    case backOff(Duration, DFSError)
    case none
  }

  private enum Phase {
    case idle
    case connecting
    case connected(Connection, id: UInt64, since: ContinuousClock.Instant)
    case backingOff(until: ContinuousClock.Instant, because: DFSError)
    case closed
  }

  /// A connection that ends sooner counts as a failed attempt, or a server that accepts and drops would be
  /// hammered without a pause.
  static var shortestLife: Duration { .seconds(1) }

  let endpoints: [Endpoint]
  private var phase = Phase.idle
  private var position = 0
  private var failedInRound = 0
  private var backoff: ReconnectBackoff

  init(endpoints: [Endpoint], backoff: ReconnectBackoff = ReconnectBackoff()) {
    self.endpoints = endpoints
    self.backoff = backoff
    if endpoints.isEmpty { phase = .closed }
  }

  /// What a call has to do to get a connection.
  mutating func wants(_ patience: Patience, now: ContinuousClock.Instant) -> Answer {
    switch phase {
    case .connected(let connection, _, _): return .use(connection)
    case .connecting: return .wait(until: nil)
    case .idle: return .connect(begin())
    case .closed:
      let message = endpoints.isEmpty ? "the channel has no endpoints" : "the channel is closed"
      return .fail(DFSError(.unavailable, message))
    case .backingOff(let until, let error):
      if now >= until { return .connect(begin()) }
      return patience == .waitForReady ? .wait(until: until) : .fail(error)
    }
  }

  /// The connection that a call would use, when there is one.
  var current: Connection? {
    if case .connected(let connection, _, _) = phase { connection } else { nil }
  }

  /// The attempt has led to a connection, whose end is reported by `id`. Says no when the channel was closed
  /// meanwhile and the connection is to be closed.
  mutating func didConnect(_ connection: Connection, id: UInt64, now: ContinuousClock.Instant) -> Bool {
    guard case .connecting = phase else { return false }
    phase = .connected(connection, id: id, since: now)
    return true
  }

  mutating func didFailToConnect(
    _ error: DFSError, now: ContinuousClock.Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    guard case .connecting = phase else { return .none }
    return moveOn(error, now: now, using: &random)
  }

  /// The connection takes no more calls: it is closed or drains. The next call connects again, to the next
  /// endpoint.
  mutating func didEnd(
    _ id: UInt64, _ error: DFSError, now: ContinuousClock.Instant,
    using random: inout some RandomNumberGenerator
  ) {
    guard case .connected(_, id, let since) = phase else { return }
    if now - since >= Self.shortestLife {
      backoff.reset()
      failedInRound = 0
      position = (position + 1) % endpoints.count
      phase = .idle
    } else if case .connect = moveOn(error, now: now, using: &random) {
      phase = .idle
    }
  }

  /// Gives the connection that is to be closed, if there is one.
  mutating func close() -> Connection? {
    defer { phase = .closed }
    if case .connected(let connection, _, _) = phase { return connection }
    return nil
  }

  private mutating func begin() -> Endpoint {
    phase = .connecting
    return endpoints[position]
  }

  /// After a failure: the next endpoint of the round, or a pause when the round is over.
  private mutating func moveOn(
    _ error: DFSError, now: ContinuousClock.Instant, using random: inout some RandomNumberGenerator
  ) -> Step {
    failedInRound += 1
    position = (position + 1) % endpoints.count
    guard failedInRound >= endpoints.count else { return .connect(endpoints[position]) }
    failedInRound = 0
    let wait = backoff.next(using: &random)
    phase = .backingOff(until: now + wait, because: error)
    return .backOff(wait, error)
  }
}
