package import DFSCore
package import DFSTransport
package import Logging

/// Serves the methods of a router to gRPC clients.
package final class RPCServer: Sendable {
  package struct Configuration: Sendable {
    /// Where to listen; port 0 lets the kernel choose.
    package var listen: [Endpoint]
    /// Encryption; nothing means plain HTTP/2 with prior knowledge.
    package var security: (any ChannelSecurity)?
    package var http2 = HTTP2Configuration()
    /// A larger request message is refused with `.exhausted`.
    package var maxRequest: ByteCount = .mib(4)
    /// Exceptions to `maxRequest` by method path.
    package var maxRequestByPath: [String: ByteCount] = [:]
    /// Connections beyond this are closed at once.
    package var maxConnections = 10_000
    /// Run around every handler, the first outermost.
    package var interceptors: [any ServerInterceptor] = []

    package init(listen: [Endpoint]) { self.listen = listen }
  }

  private let server: HTTP2Server

  package init(router: RPCRouter, configuration: Configuration, loops: NetworkLoops, logger: Logger) {
    var http2 = HTTP2Server.Configuration(listen: configuration.listen)
    http2.security = configuration.security
    http2.http2 = configuration.http2
    http2.maxConnections = configuration.maxConnections
    let service = RPCService(
      router: router.intercepted(by: configuration.interceptors), configuration: configuration, loops: loops,
      logger: logger)
    server = HTTP2Server(configuration: http2, loops: loops, logger: logger) { session in
      ServerConnection(session: session, service: service)
    }
  }

  /// How many connections are open.
  package var connectionCount: Int { server.connectionCount }

  /// Binds every address and begins to serve. Returns the addresses with their actual ports. Throws
  /// `.failedPrecondition` when an address is taken or not ours.
  package func start() async throws -> [Endpoint] { try await server.start() }

  /// Throws what `start` would throw for these addresses: asked before anything is created on disk.
  package static func check(_ listen: [Endpoint], loops: NetworkLoops) async throws {
    try await HTTP2Server.check(listen, loops: loops)
  }

  /// Stops accepting, tells every client to go elsewhere (GOAWAY twice, so that no request on its way is
  /// lost), lets running calls finish for at most `grace`, then closes what is left.
  package func drain(grace: Duration) async { await server.drain(grace: grace) }
}
