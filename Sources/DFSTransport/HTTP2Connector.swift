package import DFSCore
package import Logging
import NIOCore
import NIOPosix

/// Opens HTTP/2 connections.
package struct HTTP2Connector: Sendable {
  package var security: (any ChannelSecurity)?
  package var http2 = HTTP2Configuration()
  /// For everything until the peer's SETTINGS are here: name, TCP, TLS. A server that hangs is found out
  /// here, when nothing was asked of it yet.
  package var timeout: Duration = .seconds(3)

  package init() {}

  /// Connects to `endpoint` on the loop of `executor`, trying every address of the host (RFC 8305), and
  /// returns when the connection works. `delegate` is asked for on the loop. Throws `.unavailable`, or
  /// `.unauthenticated` when one side does not accept the other's certificate.
  package func connect(
    to endpoint: Endpoint, on executor: LoopExecutor, loops: NetworkLoops, logger: Logger,
    delegate: @escaping @Sendable (HTTP2Session) -> any HTTP2SessionDelegate
  ) async throws -> HTTP2Session {
    await refreshSecurity(loops, logger)
    let loop = executor.loop
    let ready = loop.makePromise(of: HTTP2Session.self)
    var http2 = http2
    http2.handshakeTimeout = timeout
    let bootstrap = ClientBootstrap(group: loop)
      .connectTimeout(.nanoseconds(timeout.nanoseconds))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.recvAllocator, value: HTTP2Session.channelBuffers(isPlain: security == nil))
      .channelOption(
        .writeBufferWaterMark,
        value: .init(low: http2.writeWatermarks.low.int, high: http2.writeWatermarks.high.int)
      )
      .channelInitializer { [http2, security] channel in
        channel.eventLoop.makeCompletedFuture {
          if endpoint.isLoopback { try LoopbackPacing.turnOff(on: channel) }
          let session = try HTTP2Session(
            side: .client, executor: executor, configuration: http2, budget: loops.receiveBudget,
            isPlain: security == nil, logger: logger)
          session.delegate = ConnectingDelegate(session: session, ready: ready, next: delegate(session))
          session.peer = endpoint.description
          if let security {
            try channel.pipeline.syncOperations.addHandler(security.makeHandler(serverName: endpoint.host))
          }
          try channel.pipeline.syncOperations.addHandler(session)
        }
      }
    let connecting = bootstrap.connect(host: endpoint.host, port: endpoint.port)
    connecting.whenFailure { ready.fail($0) }
    let limit = loop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) {
      ready.fail(DFSError(.unavailable, "it did not answer within \(timeout)"))
    }
    ready.futureResult.whenFailure { _ in
      connecting.whenSuccess { $0.close(promise: nil) }
    }
    defer { limit.cancel() }
    do {
      return try await ready.futureResult.get()
    } catch {
      // Whom the peer does not trust, or who does not trust the peer, has to change something first.
      let code = (error as? DFSError)?.code == .unauthenticated ? DFSError.Code.unauthenticated : .unavailable
      throw DFSError(code, "cannot connect to \(endpoint)", cause: error)
    }
  }
}

extension HTTP2Connector {
  /// A client's certificate may have been renewed since the last connection.
  private func refreshSecurity(_ loops: NetworkLoops, _ logger: Logger) async {
    guard let security else { return }
    do {
      try await loops.fileThreads.run { try security.refresh() }
    } catch {
      logger.warning(
        "the certificates in use stay: new ones can not be read", metadata: ["error": "\(error)"])
    }
  }
}

/// Stands before the owner's delegate until the connection works or fails.
private final class ConnectingDelegate: HTTP2SessionDelegate {
  private let session: HTTP2Session
  private let ready: EventLoopPromise<HTTP2Session>
  private let next: any HTTP2SessionDelegate

  init(session: HTTP2Session, ready: EventLoopPromise<HTTP2Session>, next: any HTTP2SessionDelegate) {
    self.session = session
    self.ready = ready
    self.next = next
  }

  func sessionOpened(
    _ stream: HTTP2Stream, _ head: HeaderBlock, isEnd: Bool
  ) -> (any HTTP2StreamDelegate)? { next.sessionOpened(stream, head, isEnd: isEnd) }

  func sessionBecameReady() {
    session.delegate = next
    next.sessionBecameReady()
    ready.succeed(session)
  }

  func sessionIsDraining() { next.sessionIsDraining() }

  func sessionClosed(_ error: DFSError?) {
    next.sessionClosed(error)
    ready.fail(error ?? DFSError(.unavailable, "the connection was closed before it was used"))
  }
}
