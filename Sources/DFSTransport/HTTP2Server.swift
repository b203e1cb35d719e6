package import DFSCore
import Glibc
package import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// Listens on TCP and runs an HTTP/2 session on every connection.
package final class HTTP2Server: Sendable {
  package struct Configuration: Sendable {
    package var listen: [Endpoint]
    package var security: (any ChannelSecurity)?
    package var http2 = HTTP2Configuration()
    /// Connections beyond this are closed at once.
    package var maxConnections = 10_000

    package init(listen: [Endpoint]) { self.listen = listen }
  }

  private struct State {
    var listeners: [any Channel] = []
    var sessions: [ObjectIdentifier: (session: HTTP2Session, channel: any Channel)] = [:]
    var isDraining = false
    var lastRefresh = ContinuousClock.now
  }

  private static let refreshInterval = Duration.seconds(10)

  private let configuration: Configuration
  private let loops: NetworkLoops
  private let logger: Logger
  private let accept: @Sendable (HTTP2Session) -> any HTTP2SessionDelegate
  private let state = NIOLockedValueBox(State())

  /// `accept` gives each new connection its delegate, on the connection's loop.
  package init(
    configuration: Configuration, loops: NetworkLoops, logger: Logger,
    accept: @escaping @Sendable (HTTP2Session) -> any HTTP2SessionDelegate
  ) {
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
    self.accept = accept
  }

  /// How many connections are open.
  package var connectionCount: Int { state.withLockedValue { $0.sessions.count } }

  /// Binds every address, all or none. Returns them with their actual ports.
  package func start() async throws -> [Endpoint] {
    var bound: [Endpoint] = []
    do {
      for endpoint in configuration.listen {
        let channel = try await bind(endpoint)
        state.withLockedValue { $0.listeners.append(channel) }
        bound.append(Endpoint(host: endpoint.host, port: channel.localAddress?.port ?? endpoint.port))
      }
    } catch {
      await stopListening()
      throw error
    }
    return bound
  }

  private func bind(_ endpoint: Endpoint) async throws -> any Channel {
    let http2 = configuration.http2
    let bootstrap = ServerBootstrap(group: loops.group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { [logger] channel in
        channel.eventLoop.makeCompletedFuture {
          if endpoint.isLoopback { try LoopbackPacing.turnOff(on: channel) }
          try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: logger))
        }
      }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(
        .recvAllocator, value: HTTP2Session.channelBuffers(isPlain: configuration.security == nil)
      )
      .childChannelOption(
        .writeBufferWaterMark,
        value: .init(low: http2.writeWatermarks.low.int, high: http2.writeWatermarks.high.int)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try self.serve(channel) }
      }
    do {
      return try await bootstrap.bind(host: endpoint.host, port: endpoint.port).get()
    } catch {
      throw Self.refusal(of: endpoint, error)
    }
  }

  /// Finds out whether `start` could bind these addresses now: asked before anything is created on disk.
  /// Throws what `start` would throw.
  package static func check(_ endpoints: [Endpoint], loops: NetworkLoops) async throws {
    for endpoint in endpoints where endpoint.port != 0 {
      do {
        let channel = try await ServerBootstrap(group: loops.group)
          .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .bind(host: endpoint.host, port: endpoint.port).get()
        try? await channel.close()
      } catch {
        throw refusal(of: endpoint, error)
      }
    }
  }

  private static func refusal(of endpoint: Endpoint, _ error: any Error) -> DFSError {
    let why =
      switch (error as? IOError)?.errnoCode {
      case EADDRINUSE: "another process listens there already; stop it, or choose another address"
      case EACCES, EPERM: "this user may not; ports below 1024 need a privilege"
      case EADDRNOTAVAIL: "this machine has no such address"
      default: "\(error)"
      }
    return DFSError(.failedPrecondition, "cannot listen on \(endpoint): \(why)", cause: nil)
  }

  private func serve(_ channel: any Channel) throws {
    let session = try HTTP2Session(
      side: .server, executor: loops.executor(of: channel.eventLoop), configuration: configuration.http2,
      budget: loops.receiveBudget, isPlain: configuration.security == nil, logger: logger)
    let isWelcome = state.withLockedValue { state in
      guard !state.isDraining, state.sessions.count < configuration.maxConnections else { return false }
      state.sessions[ObjectIdentifier(session)] = (session, channel)
      return true
    }
    guard isWelcome else {
      TransportMetrics.refused.increment()
      throw DFSError(.exhausted, "too many connections")
    }
    TransportMetrics.accepted.increment()
    TransportMetrics.connections.increment()
    session.delegate = accept(session)
    channel.closeFuture.whenComplete { _ in
      TransportMetrics.connections.decrement()
      self.state.withLockedValue { _ = $0.sessions.removeValue(forKey: ObjectIdentifier(session)) }
    }
    if let security = configuration.security {
      refreshWhenDue(security)
      try channel.pipeline.syncOperations.addHandler(security.makeHandler(serverName: nil))
    }
    try channel.pipeline.syncOperations.addHandler(session)
  }

  /// Has certificates read again if they have changed, for the connections that come after this one.
  private func refreshWhenDue(_ security: any ChannelSecurity) {
    let isDue = state.withLockedValue { state in
      let now = ContinuousClock.now
      guard now - state.lastRefresh >= Self.refreshInterval else { return false }
      state.lastRefresh = now
      return true
    }
    guard isDue else { return }
    Task { [loops, logger] in
      do {
        try await loops.fileThreads.run { try security.refresh() }
      } catch {
        logger.warning(
          "the certificates in use stay: new ones can not be read", metadata: ["error": "\(error)"])
      }
    }
  }

  private func stopListening() async {
    let listeners = state.withLockedValue { state in
      state.isDraining = true
      defer { state.listeners = [] }
      return state.listeners
    }
    // A listener that is closed already is what was wanted.
    for listener in listeners { try? await listener.close() }
  }

  /// Stops listening, drains every connection, and returns when all are closed: at the latest a moment
  /// after `grace`.
  package func drain(grace: Duration) async {
    await stopListening()
    let sessions = state.withLockedValue { Array($0.sessions.values) }
    for (session, _) in sessions {
      session.executor.run { session.drain(grace: grace) }
    }
    for (_, channel) in sessions {
      // Only the end counts, not how it came.
      try? await channel.closeFuture.get()
    }
  }
}
