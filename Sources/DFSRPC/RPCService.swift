import DFSCore
import DFSTransport
import Logging
import Metrics
import NIOCore

/// What all calls of one server share.
final class RPCService: Sendable {
  let router: RPCRouter
  let configuration: RPCServer.Configuration
  let loops: NetworkLoops
  let logger: Logger
  let metrics: RPCServerMetrics

  init(router: RPCRouter, configuration: RPCServer.Configuration, loops: NetworkLoops, logger: Logger) {
    self.router = router
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
    metrics = RPCServerMetrics(paths: router.paths)
  }

  func maxRequest(of path: String) -> Int {
    guard !configuration.maxRequestByPath.isEmpty else { return configuration.maxRequest.int }
    return (configuration.maxRequestByPath[path] ?? configuration.maxRequest).int
  }

  func run(_ method: ServedMethod, _ call: ServerCall) async throws {
    try await method.run(call)
  }

  /// Every call leaves a line for whoever follows one through the processes.
  func finished(_ context: CallContext, _ code: RPCStatus.Code, _ duration: Duration) {
    metrics.finished(context.path, code, duration)
    logger.debug(
      "call finished",
      metadata: [
        "method": "\(context.path)", "peer": "\(context.peer)", "request_id": "\(context.traceID)",
        "status": "\(code)", "microseconds": "\(Int64(duration / .microseconds(1)))",
      ])
  }

  /// What nobody foresaw is logged with its cause, which the caller does not get to see.
  func log(_ error: any Error, _ context: CallContext) {
    let error = DFSError(wrapping: error, "the handler failed")
    guard error.code == .internal else { return }
    logger.error(
      "call failed",
      metadata: [
        "method": "\(context.path)", "peer": "\(context.peer)", "request_id": "\(context.traceID)",
        "error": "\(error)",
      ])
  }
}

/// The server's end of one connection.
final class ServerConnection: HTTP2SessionDelegate {
  private let service: RPCService
  private unowned let session: HTTP2Session
  private var random: TraceGenerator

  init(session: HTTP2Session, service: RPCService) {
    self.session = session
    self.service = service
    random = TraceGenerator()
  }

  func sessionOpened(
    _ stream: HTTP2Stream, _ headers: HeaderBlock, isEnd: Bool
  ) -> (any HTTP2StreamDelegate)? {
    do {
      let head = try RequestHead(headers, router: service.router)
      let context = CallContext(
        path: head.method.path, metadata: head.metadata, deadline: head.timeout.map { .now + $0 },
        peer: session.peer, traceSeed: random.next())
      let call = ServerCall(stream: stream, head: head, context: context, service: service)
      call.begin()
      if isEnd { call.streamEnded() }
      return call
    } catch {
      switch error {
      case .status(let status):
        stream.respond(ResponseHead.trailersOnly(status), isEnd: true)
        return nil
      case .http(let status, let text, let allow):
        let refusal = HTTPRefusal(
          stream, ResponseHead.http(status: status, length: text.utf8.count, allow: allow), text,
          isHead: headers.value(of: ":method", is: "HEAD"))
        if isEnd { refusal.answer() }
        return refusal
      }
    }
  }

  func sessionBecameReady() {}
  func sessionIsDraining() {}
  func sessionClosed(_ error: DFSError?) {}
}

/// Numbers for trace ids: unique, not secret, and without a system call each (SplitMix64).
struct TraceGenerator {
  private var state = UInt64.random(in: 0...UInt64.max)

  mutating func next() -> (UInt64, UInt64) { (step(), step()) }

  private mutating func step() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

/// What a server counts for each method.
struct RPCServerMetrics: Sendable {
  private struct Method: Sendable {
    let calls: Counter
    let failures: Counter
    let duration: Timer
  }

  private let methods: [String: Method]
  private let active = Meter(label: "dfs_rpc_active_calls")

  init(paths: [String]) {
    methods = Dictionary(
      uniqueKeysWithValues: paths.map { path in
        let dimensions = [("method", path)]
        return (
          path,
          Method(
            calls: Counter(label: "dfs_rpc_handled_calls", dimensions: dimensions),
            failures: Counter(label: "dfs_rpc_failed_calls", dimensions: dimensions),
            duration: Timer(label: "dfs_rpc_handling_seconds", dimensions: dimensions))
        )
      })
  }

  func started(_ path: String) { active.increment() }

  func finished(_ path: String, _ code: RPCStatus.Code, _ duration: Duration) {
    active.decrement()
    guard let method = methods[path] else { return }
    method.calls.increment()
    if code != .ok { method.failures.increment() }
    method.duration.record(duration: duration)
  }
}
