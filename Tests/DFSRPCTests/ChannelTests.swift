import DFSCore
import DFSTransport
import Logging
import NIOCore
import Synchronization
import Testing

@testable import DFSRPC

/// A channel and the servers that it may call, over real sockets.
private final class Stage: Sendable {
  let loops = NetworkLoops(count: 2)
  private let servers = Mutex<[RPCServer]>([])
  private let channels = Mutex<[RPCChannel]>([])

  static func run(_ body: (Stage) async throws -> Void) async throws {
    let stage = Stage()
    do { try await body(stage) } catch {
      await stage.end()
      throw error
    }
    await stage.end()
  }

  private func end() async {
    for channel in channels.withLock({ $0 }) { await channel.close() }
    for server in servers.withLock({ $0 }) { await server.drain(grace: .zero) }
    await loops.shutdown()
  }

  @discardableResult
  func serve(
    _ router: RPCRouter = Echo.router(), port: Int = 0, interceptors: [any ServerInterceptor] = []
  ) async throws -> (RPCServer, Endpoint) {
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: port)])
    configuration.interceptors = interceptors
    let server = RPCServer(
      router: router, configuration: configuration, loops: loops, logger: Logger(label: "test"))
    let endpoint = try #require(try await server.start().first)
    servers.withLock { $0.append(server) }
    return (server, endpoint)
  }

  func channel(
    _ endpoints: [Endpoint], _ change: (inout RPCChannel.Configuration) -> Void = { _ in }
  ) -> RPCChannel {
    var configuration = RPCChannel.Configuration()
    change(&configuration)
    let channel = RPCChannel(
      endpoints: endpoints, configuration: configuration, loops: loops, logger: Logger(label: "test"))
    channels.withLock { $0.append(channel) }
    return channel
  }

  /// An endpoint at which nobody listens.
  func deadEndpoint() async throws -> Endpoint {
    let (server, endpoint) = try await serve()
    await server.drain(grace: .zero)
    return endpoint
  }
}

private func code(_ body: () async throws -> Void) async -> DFSError.Code? {
  do {
    try await body()
    return nil
  } catch { return (error as? DFSError)?.code }
}

private let hello = ByteBuffer(string: "hello")

@Suite(.timeLimit(.minutes(1))) struct ChannelTests {
  @Test func `calls from outside share one connection, and all kinds go through`() async throws {
    try await Stage.run { stage in
      let (server, endpoint) = try await stage.serve()
      let channel = stage.channel([endpoint])
      for _ in 0..<20 {
        let answer = try await channel.call(Echo.unary, hello)
        #expect(answer == hello)
      }
      try await withThrowingTaskGroup { group in
        for _ in 0..<50 { group.addTask { _ = try await channel.call(Echo.unary, hello) } }
        try await group.waitForAll()
      }
      let split = try await channel.call(Echo.split, hello) { reader in
        try await reader.reduce(0) { count, _ in count + 1 }
      }
      #expect(split == 5)
      let total = try await channel.call(Echo.total) { writer in
        for _ in 0..<3 { try await writer.write(hello) }
      }
      #expect(String(buffer: total) == "15")
      let chat = try await channel.call(Echo.chat) { writer, reader in
        try await writer.write(hello)
        let answer = try await reader.next()
        try await writer.finish()
        return answer
      }
      #expect(chat == hello)
      #expect(server.connectionCount == 1)
    }
  }

  @Test func `a dead endpoint is passed over`() async throws {
    try await Stage.run { stage in
      let dead = try await stage.deadEndpoint()
      let (_, live) = try await stage.serve()
      let answer = try await stage.channel([dead, live]).call(Echo.mutation, hello)
      #expect(answer == hello)
    }
  }

  @Test func `without a server a call fails at once, at its deadline, or when cancelled`() async throws {
    try await Stage.run { stage in
      let channel = stage.channel([try await stage.deadEndpoint()])
      #expect(await code { _ = try await channel.call(Echo.unary, hello) } == .unavailable)
      let patient = CallOptions(timeout: .milliseconds(200), waitForReady: true)
      let began = ContinuousClock.now
      #expect(
        await code { _ = try await channel.call(Echo.unary, hello, options: patient) } == .deadlineExceeded)
      #expect(ContinuousClock.now - began >= .milliseconds(200))
      let task = Task {
        _ = try await channel.call(Echo.unary, hello, options: CallOptions(waitForReady: true))
      }
      task.cancel()
      #expect(await code { try await task.value } == .cancelled)
      #expect(await code { _ = try await stage.channel([]).call(Echo.unary, hello) } == .unavailable)
    }
  }

  @Test func `a call that waits goes through when the server comes, and after it came back`() async throws {
    try await Stage.run { stage in
      let endpoint = try await stage.deadEndpoint()
      let channel = stage.channel([endpoint])
      let patient = CallOptions(timeout: .seconds(20), waitForReady: true)
      let waiting = (0..<10).map { _ in
        Task { try await channel.call(Echo.mutation, hello, options: patient) }
      }
      // The pauses between attempts only begin when some have failed.
      #expect(await code { _ = try await channel.call(Echo.unary, hello) } == .unavailable)
      for _ in 0..<3 {
        let (server, _) = try await stage.serve(port: endpoint.port)
        for task in waiting {
          let answer = try await task.value
          #expect(answer == hello)
        }
        let answer = try await channel.call(Echo.unary, hello, options: patient)
        #expect(answer == hello)
        await server.drain(grace: .zero)
      }
    }
  }

  @Test func `calls that run when a connection dies end, and safe ones are sent again`() async throws {
    try await Stage.run { stage in
      let started = Mutex(0)
      let release = Once<Void>()
      func router() -> RPCRouter {
        var router = RPCRouter()
        for method in [Echo.unary, Echo.mutation] {
          router.handle(method) { request, _ in
            let isFirst = started.withLock { count in
              count += 1
              return count <= 2
            }
            // The first two never answer.
            if isFirst { await release.value() }
            return request
          }
        }
        return router
      }
      let (first, endpoint) = try await stage.serve(router())
      let channel = stage.channel([endpoint])
      let patient = CallOptions(timeout: .seconds(20), waitForReady: true)
      let safe = Task { try await channel.call(Echo.unary, hello, options: patient) }
      let unsafe = Task { try await channel.call(Echo.mutation, hello, options: patient) }
      while started.withLock({ $0 }) < 2 { await Task.yield() }
      await first.drain(grace: .zero)
      let (_, _) = try await stage.serve(router(), port: endpoint.port)
      #expect(await code { _ = try await unsafe.value } == .outcomeUnknown)
      let answer = try await safe.value
      #expect(answer == hello)
      release.resolve(())
    }
  }

  @Test func `an endpoint that is unavailable is left for the next one, by safe calls only`() async throws {
    try await Stage.run { stage in
      let asked = Mutex(0)
      var standby = RPCRouter()
      for method in [Echo.unary, Echo.mutation] {
        standby.handle(method) { _, _ -> ByteBuffer in
          asked.withLock { $0 += 1 }
          throw DFSError(.unavailable, "standing by")
        }
      }
      let (_, first) = try await stage.serve(standby)
      let (_, second) = try await stage.serve()
      let channel = stage.channel([first, second])
      #expect(await code { _ = try await channel.call(Echo.mutation, hello) } == .unavailable)
      #expect(asked.withLock { $0 } == 1)
      let patient = CallOptions(timeout: .seconds(20), waitForReady: true)
      let answer = try await channel.call(Echo.unary, hello, options: patient)
      #expect(answer == hello)
      #expect(asked.withLock { $0 } == 2)
      let alone = stage.channel([first]) { $0.maxAttempts = 3 }
      #expect(await code { _ = try await alone.call(Echo.unary, hello) } == .unavailable)
      #expect(asked.withLock { $0 } == 5)
    }
  }

  @Test func `closing ends what runs and what waits`() async throws {
    try await Stage.run { stage in
      let (_, endpoint) = try await stage.serve()
      let channel = stage.channel([endpoint])
      _ = try await channel.call(Echo.unary, hello)
      let running = Task { _ = try await channel.call(Echo.hang, hello) }
      let waiting = stage.channel([try await stage.deadEndpoint()])
      let patient = Task {
        _ = try await waiting.call(Echo.unary, hello, options: CallOptions(waitForReady: true))
      }
      await channel.close()
      await waiting.close()
      #expect(await code { try await running.value } == .unavailable)
      #expect(await code { try await patient.value } == .unavailable)
      #expect(await code { _ = try await channel.call(Echo.unary, hello) } == .unavailable)
    }
  }

  @Test func `interceptors nest, change the options, and may refuse`() async throws {
    struct Tagging: ClientInterceptor {
      let tag: String
      nonisolated(nonsending) func intercept<Result>(
        _ path: String, _ options: CallOptions,
        _ next: nonisolated(nonsending) (CallOptions) async throws -> Result
      ) async throws -> Result {
        var options = options
        try options.metadata.append(tag, for: "x-tag")
        return try await next(options)
      }
    }
    struct Guarding: ServerInterceptor {
      let seen: @Sendable (String) -> Void
      func intercept(_ context: CallContext, _ next: @Sendable () async throws -> Void) async throws {
        let tags = context.metadata.values(for: "x-tag")
        guard tags == [.text("a"), .text("b")] else { throw DFSError(.permissionDenied, "no tags") }
        seen("before \(context.path)")
        try await next()
        seen("after")
      }
    }
    try await Stage.run { stage in
      let seen = Mutex<[String]>([])
      let guarding = Guarding { line in seen.withLock { $0.append(line) } }
      let (_, endpoint) = try await stage.serve(interceptors: [guarding])
      let tagged = stage.channel([endpoint]) { $0.interceptors = [Tagging(tag: "a"), Tagging(tag: "b")] }
      _ = try await tagged.call(Echo.unary, hello)
      #expect(seen.withLock { $0 } == ["before /test.Echo/Unary", "after"])
      #expect(
        await code { _ = try await stage.channel([endpoint]).call(Echo.unary, hello) } == .permissionDenied)
    }
  }

  @Test func `a handler that calls out does it on its own loop, with its deadline and trace id`() async throws
  {
    try await Stage.run { stage in
      let (backend, backendEndpoint) = try await stage.serve(
        {
          var router = RPCRouter()
          router.handle(Echo.unary) { _, context in
            #expect(context.deadline != nil)
            return ByteBuffer(string: context.traceID)
          }
          return router
        }())
      let inner = stage.channel([backendEndpoint])
      let (_, frontEndpoint) = try await stage.serve(
        {
          var router = RPCRouter()
          router.handle(Echo.unary) { request, _ in try await inner.call(Echo.unary, request) }
          return router
        }())
      var options = CallOptions(timeout: .seconds(20))
      try options.metadata.append("trace-7", for: CallContext.traceField)
      let answer = try await stage.channel([frontEndpoint]).call(Echo.unary, hello, options: options)
      #expect(String(buffer: answer) == "trace-7")
      #expect(backend.connectionCount == 1)
    }
  }
}
