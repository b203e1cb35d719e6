package import DFSCore
package import DFSTransport
package import Logging
import Metrics
import NIOConcurrencyHelpers

/// Calls to one logical server that may have several endpoints.
///
/// Connections are opened when a call needs one, and kept: one to one endpoint at a time for each event loop
/// that makes calls, so a handler calls out on its own loop and saves the thread hops; callers on other
/// threads share one. When a connection ends, or an endpoint says that it is unavailable, the next call goes
/// to the next endpoint.
///
/// A unary call is sent again, within its deadline and the channel's retry budget, when it certainly was not
/// acted on, or when its method is `.whenSafe` and the answer is `.unavailable` or `.outcomeUnknown`. A
/// streaming call is not: its messages are gone. `.cancelled` is thrown when the calling task is cancelled;
/// the server is told.
package final class RPCChannel: Sendable {
  package struct Configuration: Sendable {
    /// Encryption; nothing means plain HTTP/2 with prior knowledge.
    package var security: (any ChannelSecurity)?
    package var http2 = HTTP2Configuration()
    /// For one attempt: name, TCP, TLS, and HTTP/2's first words.
    package var connectTimeout: Duration = .seconds(3)
    /// Attempts to connect that fail are repeated at most so far apart, as long as calls ask.
    package var longestBackoff: Duration = .seconds(2)
    /// A larger response message is refused with `.exhausted`.
    package var maxResponse: ByteCount = .mib(4)
    /// How often a unary call is sent at most.
    package var maxAttempts = 5
    /// Run around every call, the first outermost.
    package var interceptors: [any ClientInterceptor] = []

    package init() {}
  }

  private static let retries = Counter(label: "dfs_rpc_client_retries")

  private let lanes: [(executor: LoopExecutor, lane: ChannelLane)]
  /// Where callers on threads of their own go.
  private let home: ChannelLane
  private let maxResponse: ByteCount
  private let interceptors: [any ClientInterceptor]
  private let policy: RetryPolicy
  private let endpointCount: Int
  private let budget = NIOLockedValueBox(RetryBudget())
  private let loops: NetworkLoops

  /// Opens nothing yet.
  package init(
    endpoints: [Endpoint], configuration: Configuration, loops: NetworkLoops, logger: Logger
  ) {
    self.loops = loops
    endpointCount = endpoints.count
    maxResponse = configuration.maxResponse
    interceptors = configuration.interceptors
    policy = RetryPolicy(maxAttempts: configuration.maxAttempts)
    var connection = RPCConnection.Configuration()
    connection.security = configuration.security
    connection.http2 = configuration.http2
    connection.connectTimeout = configuration.connectTimeout
    func lane(_ executor: LoopExecutor) -> ChannelLane {
      ChannelLane(
        endpoints: endpoints, executor: executor, configuration: connection,
        longestBackoff: configuration.longestBackoff, loops: loops, logger: logger)
    }
    lanes = loops.executors.map { ($0, lane($0)) }
    let homeLoop = loops.next()
    home = lanes.first { $0.executor === homeLoop }?.lane ?? lane(homeLoop)
  }

  nonisolated(nonsending) package func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, options: CallOptions = CallOptions()
  ) async throws -> Response {
    try await intercepted(method.path, options) { options in
      try await self.attempts(method.retry, options) { link, options in
        try await link.connection.call(method, request, options: options)
      }
    }
  }

  nonisolated(nonsending) package func call<Request, Response, Result>(
    _ method: ServerStreamingMethod<Request, Response>, _ request: Request,
    options: CallOptions = CallOptions(), _ body: (MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    try await intercepted(method.path, options) { options in
      let (link, options) = try await link(options)
      return try await link.connection.call(method, request, options: options, body)
    }
  }

  nonisolated(nonsending) package func call<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>, options: CallOptions = CallOptions(),
    _ body: (MessageWriter<Request>) async throws -> Void
  ) async throws -> Response {
    try await intercepted(method.path, options) { options in
      let (link, options) = try await link(options)
      return try await link.connection.call(method, options: options, body)
    }
  }

  nonisolated(nonsending) package func call<Request, Response, Result>(
    _ method: BidirectionalMethod<Request, Response>, options: CallOptions = CallOptions(),
    _ body: (MessageWriter<Request>, MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    try await intercepted(method.path, options) { options in
      let (link, options) = try await link(options)
      return try await link.connection.call(method, options: options, body)
    }
  }

  /// Fails what waits and what runs with `.unavailable`, and every later call. Returns when all is closed.
  package func close() async {
    for (_, lane) in lanes { await lane.close() }
  }

  // MARK: - Steps of a call

  private var lane: ChannelLane {
    guard let current = loops.current else { return home }
    return lanes.first { $0.executor === current }?.lane ?? home
  }

  nonisolated(nonsending) private func intercepted<Result>(
    _ path: String, _ options: CallOptions, from index: Int = 0,
    _ body: nonisolated(nonsending) (CallOptions) async throws -> Result
  ) async throws -> Result {
    guard index < interceptors.count else { return try await body(options) }
    return try await interceptors[index].intercept(path, options) {
      try await self.intercepted(path, $0, from: index + 1, body)
    }
  }

  nonisolated(nonsending) private func link(_ options: CallOptions) async throws -> (
    ChannelLane.Link, ClientCallOptions
  ) {
    let call = ClientCallOptions(options, maxResponse: maxResponse)
    return (
      try await lane.link(options.waitForReady ? .waitForReady : .failFast, deadline: call.deadline), call
    )
  }

  nonisolated(nonsending) private func attempts<Response>(
    _ retry: Retry, _ options: CallOptions,
    _ attempt: nonisolated(nonsending) (ChannelLane.Link, ClientCallOptions) async throws -> Response
  ) async throws -> Response {
    let call = ClientCallOptions(options, maxResponse: maxResponse)
    var waits = policy.backoff
    var count = 1
    // An earlier attempt may have been executed: a later one that does not get through settles nothing.
    var isInDoubt = false
    while true {
      let lane = lane
      let link: ChannelLane.Link
      do {
        link = try await lane.link(
          options.waitForReady ? .waitForReady : .failFast, deadline: call.deadline)
      } catch let error as DFSError where isInDoubt { throw Self.doubtful(error) }
      do {
        let response = try await attempt(link, call)
        budget.withLockedValue { $0.recordSuccess() }
        return response
      } catch {
        let error = DFSError(wrapping: error, "the call failed")
        if error.cause is MaybeProcessed { isInDoubt = true }
        guard let wait = delay(after: error, retry, call, count, &waits) else {
          throw isInDoubt ? Self.doubtful(error) : error
        }
        if endpointCount > 1, error.code == .unavailable { lane.leave(link) }
        count += 1
        Self.retries.increment()
        try await Task.sleep(for: wait)
      }
    }
  }

  private static func doubtful(_ error: DFSError) -> DFSError {
    guard error.code == .unavailable, !(error.cause is MaybeProcessed) else { return error }
    return DFSError(.unavailable, error.message, metadata: error.metadata, cause: MaybeProcessed(cause: error))
  }

  private func delay(
    after error: DFSError, _ retry: Retry, _ call: ClientCallOptions, _ count: Int,
    _ waits: inout ReconnectBackoff
  ) -> Duration? {
    var random = SystemRandom()
    let wait = policy.delay(
      after: error, retry, attempts: count, waits: &waits,
      timeLeft: call.deadline.map { ContinuousClock.now.duration(to: $0) }, using: &random)
    // Only what might be cured counts as a failure; and only for that the budget is asked.
    guard let wait, budget.withLockedValue({ $0.recordFailure() }) else { return nil }
    return wait
  }
}
