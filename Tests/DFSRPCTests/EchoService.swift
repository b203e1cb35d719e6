import DFSCore
import DFSRPC
import DFSTransport
import Logging
import NIOCore

/// Messages that are plain bytes, and a server that speaks of them over a real socket.
enum Echo {
  static let bytes = Marshaller<ByteBuffer>(encode: { OutgoingMessage(head: $0) }, decode: { $0 })

  static let unary = UnaryMethod(path: "/test.Echo/Unary", retry: .whenSafe, request: bytes, response: bytes)
  static let mutation = UnaryMethod(
    path: "/test.Echo/Mutation", retry: .never, request: bytes, response: bytes)
  /// Fails with the code that the request names.
  static let failure = UnaryMethod(
    path: "/test.Echo/Failure", retry: .whenSafe, request: bytes, response: bytes)
  /// Never answers.
  static let hang = UnaryMethod(path: "/test.Echo/Hang", retry: .whenSafe, request: bytes, response: bytes)
  /// As many messages as the request has bytes, each with that many bytes.
  static let split = ServerStreamingMethod(
    path: "/test.Echo/Split", retry: .whenSafe, request: bytes, response: bytes)
  /// The total length of all requests, as text.
  static let total = ClientStreamingMethod(
    path: "/test.Echo/Total", retry: .never, request: bytes, response: bytes)
  static let chat = BidirectionalMethod(
    path: "/test.Echo/Chat", retry: .never, request: bytes, response: bytes)

  static func router() -> RPCRouter {
    var router = RPCRouter()
    router.handle(unary) { request, _ in request }
    router.handle(mutation) { request, _ in request }
    router.handle(failure) { request, _ -> ByteBuffer in
      let code = DFSError.Code(rawValue: String(buffer: request)) ?? .internal
      throw DFSError(code, "failed as asked: 100 % “sure”", metadata: ["path": "/a/ü"])
    }
    router.handle(hang) { request, _ in
      try await Task.sleep(for: .seconds(3600))
      return request
    }
    router.handle(split) { request, writer, _ in
      for _ in 0..<request.readableBytes { try await writer.write(request) }
    }
    router.handle(total) { reader, _ in
      var count = 0
      while let message = try await reader.next() { count += message.readableBytes }
      return ByteBuffer(string: String(count))
    }
    router.handle(chat) { reader, writer, _ in
      while let message = try await reader.next() { try await writer.write(message) }
    }
    return router
  }
}

/// A server, one connection to it, and the loops under both; gone when `body` returns.
struct Loopback {
  let loops: NetworkLoops
  let server: RPCServer
  let endpoint: Endpoint
  let connection: RPCConnection

  static func run<Result>(
    loopCount: Int = 2, router: RPCRouter = Echo.router(),
    server configure: (inout RPCServer.Configuration) -> Void = { _ in },
    client configureClient: (inout RPCConnection.Configuration) -> Void = { _ in },
    _ body: (Loopback) async throws -> Result
  ) async throws -> Result {
    let loops = NetworkLoops(count: loopCount)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    configure(&configuration)
    let server = RPCServer(router: router, configuration: configuration, loops: loops, logger: logger)
    let endpoint = try await server.start()[0]
    var client = RPCConnection.Configuration()
    configureClient(&client)
    let connection = try await RPCConnection.connect(
      to: endpoint, configuration: client, on: loops.next(), loops: loops, logger: logger)
    do {
      let result = try await body(
        Loopback(loops: loops, server: server, endpoint: endpoint, connection: connection))
      await connection.close()
      await server.drain(grace: .zero)
      await loops.shutdown()
      return result
    } catch {
      await connection.close()
      await server.drain(grace: .zero)
      await loops.shutdown()
      throw error
    }
  }

  static func options(timeout: Duration? = .seconds(50), _ change: (inout CallOptions) -> Void = { _ in })
    -> ClientCallOptions
  {
    var options = CallOptions(timeout: timeout)
    change(&options)
    return ClientCallOptions(options, maxResponse: .mib(64))
  }
}

extension ByteBuffer {
  private static let period = [UInt8]((0..<1 << 16).map { UInt8(truncatingIfNeeded: $0 &* 31) })

  /// The bytes 31 × position + seed, made in large pieces: debug builds are slow byte by byte.
  static func pattern(_ count: Int, seed: Int = 0) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: count)
    // 223 is the inverse of 31 modulo 256: the place in the period where `seed` stands.
    let start = (seed &* 223) & 255
    while buffer.readableBytes < count {
      buffer.writeBytes(period[start..<min(period.count - 256 + start, start + count - buffer.readableBytes)])
    }
    return buffer
  }
}
