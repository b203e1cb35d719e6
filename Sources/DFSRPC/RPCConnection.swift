package import DFSCore
package import DFSTransport
package import Logging
import NIOConcurrencyHelpers
import NIOCore

/// What one call on one connection is given, when channel and caller have had their say.
package struct ClientCallOptions: Sendable {
  package var deadline: ContinuousClock.Instant?
  package var metadata: Metadata
  package var encoding: MessageEncoding
  package var maxResponse: Int

  /// Takes over what the handler that makes the call has: its deadline, if that is earlier, and its trace id.
  package init(_ options: CallOptions, maxResponse: ByteCount) {
    let inherited = CallContext.current
    let own = options.timeout.map { ContinuousClock.now + $0 }
    deadline = [own, inherited?.deadline].compactMap { $0 }.min()
    metadata = options.metadata
    encoding = options.compression
    self.maxResponse = (options.maxResponse ?? maxResponse).int
    if let inherited, metadata[CallContext.traceField] == nil {
      // A trace id that can not be sent is not worth failing the call for.
      try? metadata.append(inherited.traceID, for: CallContext.traceField)
    }
  }
}

/// Calls over one connection. It neither connects again nor retries; a channel does.
///
/// The functions may be called on any thread; a caller on the connection's own loop saves the hops. Every
/// call ends with a `DFSError`: `.unavailable` when it was certainly not acted on (or is safe to send
/// again), `.outcomeUnknown` when the connection broke under a call that is neither.
package final class RPCConnection: Sendable {
  package let endpoint: Endpoint
  package let executor: LoopExecutor
  let session: HTTP2Session
  private let loops: NetworkLoops
  private let state: ConnectionState
  private let scheme: String

  /// What the connection was opened with.
  package struct Configuration: Sendable {
    package var security: (any ChannelSecurity)?
    package var http2 = HTTP2Configuration()
    package var connectTimeout: Duration = .seconds(3)
    /// The name that calls ask for (`:authority`); the endpoint when not given.
    package var authority: String?

    package init() {}
  }

  private let authority: String

  private init(
    endpoint: Endpoint, session: HTTP2Session, loops: NetworkLoops, state: ConnectionState,
    configuration: Configuration
  ) {
    self.endpoint = endpoint
    self.session = session
    self.loops = loops
    self.state = state
    executor = session.executor
    authority = configuration.authority ?? endpoint.description
    scheme = configuration.security == nil ? "http" : "https"
  }

  /// Connects, and returns when the server has answered in HTTP/2. Throws `.unavailable`. `onEnd` is
  /// called once, on the loop, as soon as no new call can be made.
  package static func connect(
    to endpoint: Endpoint, configuration: Configuration, on executor: LoopExecutor, loops: NetworkLoops,
    logger: Logger, onEnd: @escaping @Sendable () -> Void = {}
  ) async throws -> RPCConnection {
    var connector = HTTP2Connector()
    connector.security = configuration.security
    connector.http2 = configuration.http2
    connector.timeout = configuration.connectTimeout
    let state = ConnectionState(onEnd: onEnd)
    let session = try await connector.connect(to: endpoint, on: executor, loops: loops, logger: logger) { _ in
      state
    }
    return RPCConnection(
      endpoint: endpoint, session: session, loops: loops, state: state, configuration: configuration)
  }

  /// Whether new calls can be made.
  package var isUsable: Bool { state.isUsable }

  /// Takes no new calls, lets running ones finish for `grace`, then closes. Returns at once.
  package func drain(grace: Duration) { executor.run { [session] in session.drain(grace: grace) } }

  /// Closes; running calls fail. Returns when it is closed.
  package func close() async {
    executor.run { [session] in
      session.drain(grace: .zero)
    }
    await state.closed.value()
  }

  // MARK: - Calls

  nonisolated(nonsending) package func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, options: ClientCallOptions
  ) async throws -> Response {
    let message = try method.request.encode(request)
    let call = begin(method.path, method.retry, options)
    return try await withCancellation(of: call) {
      try await send(message, on: call)
      return try await response(of: call, method.response.decode)
    }
  }

  nonisolated(nonsending) package func call<Request, Response, Result>(
    _ method: ServerStreamingMethod<Request, Response>, _ request: Request, options: ClientCallOptions,
    _ body: (MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    let message = try method.request.encode(request)
    let call = begin(method.path, method.retry, options)
    return try await withCancellation(of: call) {
      try await send(message, on: call)
      let reader = MessageReader(inbox: call.inbox, unpack: call.plain, decode: method.response.decode)
      return try await body(reader)
    }
  }

  nonisolated(nonsending) package func call<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>, options: ClientCallOptions,
    _ body: (MessageWriter<Request>) async throws -> Void
  ) async throws -> Response {
    let call = begin(method.path, method.retry, options)
    return try await withCancellation(of: call) {
      do {
        try await body(MessageWriter(outbox: call.outbox, encode: method.request.encode))
        call.outbox.finish()
      } catch {
        // The writer fails when the server has answered early; then the answer counts, not the writer's
        // error.
        guard call.outcome.isResolved else { throw error }
      }
      return try await response(of: call, method.response.decode)
    }
  }

  nonisolated(nonsending) package func call<Request, Response, Result>(
    _ method: BidirectionalMethod<Request, Response>, options: ClientCallOptions,
    _ body: (MessageWriter<Request>, MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    let call = begin(method.path, method.retry, options)
    return try await withCancellation(of: call) {
      let writer = MessageWriter(outbox: call.outbox, encode: method.request.encode)
      let reader = MessageReader(inbox: call.inbox, unpack: call.plain, decode: method.response.decode)
      return try await body(writer, reader)
    }
  }

  // MARK: - Steps of a call

  private func begin(_ path: String, _ retry: Retry, _ options: ClientCallOptions) -> ClientCall {
    let call = ClientCall(path: path, retry: retry, session: session, loops: loops, options: options)
    let headers = head(path, options)
    executor.run { call.start(headers, deadline: options.deadline) }
    return call
  }

  private func head(_ path: String, _ options: ClientCallOptions) -> HeaderList {
    var list = HeaderList([
      ":method": "POST", ":scheme": scheme, ":path": path, ":authority": authority, "te": "trailers",
      "content-type": "application/grpc", "user-agent": "dfs-swift/1",
      "grpc-accept-encoding": MessageEncoding.accepted,
    ])
    if options.encoding != .identity { list.append("grpc-encoding", options.encoding.rawValue) }
    if let deadline = options.deadline {
      let left = ContinuousClock.now.duration(to: deadline)
      list.append("grpc-timeout", RPCTimeout.encode(left), isIndexed: false)
    }
    options.metadata.forEachField { list.append($0, $1, isIndexed: false) }
    return list
  }

  private func send(_ message: OutgoingMessage, on call: ClientCall) async throws {
    do {
      try await call.outbox.write(message)
    } catch {
      // The server may have answered before it had the whole request; the answer says more.
      guard call.outcome.isResolved else { throw error }
    }
    call.outbox.finish()
  }

  /// The one response of a call that has one.
  private func response<Response>(
    of call: ClientCall, _ decode: (ByteBuffer) throws -> Response
  ) async throws -> Response {
    guard let message = try await call.inbox.next() else {
      throw DFSError(.internal, "\(endpoint) answered without a message")
    }
    // The status comes after the message, and counts more.
    if let error = await call.outcome.value() { throw error }
    return try decode(call.plain(message))
  }

  /// Runs `body`; cancels the call when the task is cancelled, and when `body` leaves while the call
  /// still runs.
  nonisolated(nonsending) private func withCancellation<Result>(
    of call: ClientCall, _ body: nonisolated(nonsending) () async throws -> Result
  ) async throws -> Result {
    try await withTaskCancellationHandler {
      defer { if !call.outcome.isResolved { call.cancel() } }
      return try await body()
    } onCancel: {
      call.cancel()
    }
  }
}

/// The connection's end, as its session reports it.
private final class ConnectionState: HTTP2SessionDelegate, Sendable {
  let closed = Once<Void>()
  private let usable = NIOLockedValueBox(true)
  private let onEnd: @Sendable () -> Void

  init(onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }

  var isUsable: Bool { usable.withLockedValue { $0 } }

  func sessionOpened(
    _ stream: HTTP2Stream, _ head: HeaderBlock, isEnd: Bool
  ) -> (any HTTP2StreamDelegate)? { nil }

  func sessionBecameReady() {}

  func sessionIsDraining() { endOfUse() }

  func sessionClosed(_ error: DFSError?) {
    endOfUse()
    closed.resolve(())
  }

  private func endOfUse() {
    let isFirst = usable.withLockedValue { usable in
      defer { usable = false }
      return usable
    }
    if isFirst { onEnd() }
  }
}
