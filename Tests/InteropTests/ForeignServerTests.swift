import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import Foundation
import Logging
import TestSupport
import Testing

/// Python's grpcio as a server, and channels of ours to it.
final class TheirServer: Sendable {
  let process: ForeignProcess
  let endpoint: Endpoint
  let loops: NetworkLoops

  init(_ arguments: [String] = [], loops: NetworkLoops) async throws {
    self.loops = loops
    process = try ForeignProcess(script: "server.py", arguments)
    let port = try #require(Int(try await process.line()))
    endpoint = Endpoint(host: "127.0.0.1", port: port)
  }

  deinit { process.kill() }

  /// Runs `body` with a server and a channel to it.
  static func run(
    _ arguments: [String] = [], _ change: (inout RPCChannel.Configuration) -> Void = { _ in },
    _ body: (RPCChannel, TheirServer) async throws -> Void
  ) async throws {
    let loops = NetworkLoops(count: 2)
    let server = try await TheirServer(arguments, loops: loops)
    let channel = server.channel(change)
    do { try await body(channel, server) } catch {
      await channel.close()
      await loops.shutdown()
      throw error
    }
    await channel.close()
    await loops.shutdown()
  }

  func channel(
    others: [Endpoint] = [], _ change: (inout RPCChannel.Configuration) -> Void = { _ in }
  ) -> RPCChannel {
    var configuration = RPCChannel.Configuration()
    change(&configuration)
    return RPCChannel(
      endpoints: [endpoint] + others, configuration: configuration, loops: loops,
      logger: Logger(label: "interop"))
  }
}

private func failure(_ body: () async throws -> Void) async -> DFSError? {
  do {
    try await body()
    return nil
  } catch { return error as? DFSError }
}

private func eventually(_ what: Comment, _ condition: () async throws -> Bool) async throws {
  for _ in 0..<100 {
    if try await condition() { return }
    try await Task.sleep(for: .milliseconds(50))
  }
  Issue.record(what)
}

/// Our client calls Python's grpcio.
@Suite(.timeLimit(.minutes(2))) struct ForeignServerTests {
  private let mebibyte = 1 << 20

  private func payload(_ count: Int, _ random: inout SeededGenerator) -> Data { Data(random.bytes(count)) }

  private func cancelledCount(_ channel: RPCChannel) async throws -> Int64 {
    try await channel.call(EchoMethods.statistics, .init()).cancelled
  }

  /// All four kinds, small and large.
  private func exerciseAllKinds(_ channel: RPCChannel, _ options: CallOptions = CallOptions()) async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for size in [0, 1, 1000, 65_536, mebibyte, 4 * mebibyte - 200] {
      let sent = payload(size, &random)
      let answer = try await channel.call(EchoMethods.unary, .with { $0.payload = sent }, options: options)
      #expect(answer.payload == sent, "\(size) bytes")
    }
    let large = payload(mebibyte, &random)
    var count: Int64 = 0
    try await channel.call(
      EchoMethods.expand,
      .with {
        $0.payload = large; $0.count = 32
      }, options: options
    ) { reader in
      while let answer = try await reader.next() {
        #expect(answer.messages == count)
        #expect(answer.payload == large)
        count += 1
      }
    }
    #expect(count == 32)
    let total = try await channel.call(EchoMethods.collect, options: options) { writer in
      for _ in 0..<32 { try await writer.write(.with { $0.payload = large }) }
    }
    #expect(total.total == 32 * Int64(mebibyte))
    #expect(total.messages == 32)
    // In turns, then both directions at once.
    try await channel.call(EchoMethods.chat, options: options) { writer, reader in
      for number in 0..<100 {
        let sent = Data("\(number)".utf8)
        try await writer.write(.with { $0.payload = sent })
        let answer = try await reader.next()
        #expect(answer?.payload == sent)
      }
      async let sending: Void = {
        for _ in 0..<16 { try await writer.write(.with { $0.payload = large }) }
        try await writer.finish()
      }()
      var received = 0
      while let answer = try await reader.next() {
        #expect(answer.payload == large)
        received += 1
      }
      try await sending
      #expect(received == 16)
    }
  }

  @Test func `all four kinds of call work, small and large`() async throws {
    try await TheirServer.run { channel, _ in try await exerciseAllKinds(channel) }
  }

  @Test func `all four kinds work with gzip both ways`() async throws {
    try await TheirServer.run(["--compression", "gzip"]) { channel, _ in
      try await exerciseAllKinds(channel, CallOptions(compression: .gzip))
      let text = Data(String(repeating: "abc", count: 100_000).utf8)
      let answer = try await channel.call(
        EchoMethods.unary, .with { $0.payload = text }, options: CallOptions(compression: .gzip))
      #expect(answer.payload == text)
    }
  }

  @Test func `an answer over the limit is refused, compressed or not`() async throws {
    for arguments in [[], ["--compression", "gzip"]] {
      try await TheirServer.run(arguments) { channel, _ in
        let request = EchoRequest.with { $0.payload = Data(count: mebibyte) }
        let options = CallOptions(maxResponse: .kib(512))
        let error = await failure { _ = try await channel.call(EchoMethods.unary, request, options: options) }
        #expect(error?.code == .exhausted)
        let answer = try await channel.call(EchoMethods.unary, request)
        #expect(answer.payload.count == mebibyte)
      }
    }
  }

  @Test func `metadata arrives, text and binary, several values in order`() async throws {
    try await TheirServer.run { channel, _ in
      var options = CallOptions()
      try options.metadata.append("1", for: "x-one")
      try options.metadata.append("a b,c", for: "x-two")
      try options.metadata.append("again", for: "x-two")
      try options.metadata.append(binary: Array(0...255), for: "x-data-bin")
      let answer = try await channel.call(EchoMethods.unary, .init(), options: options)
      let all = Array(UInt8(0)...255).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      for line in ["x-one=1", "x-two=a b,c", "x-two=again", "x-data-bin=" + all] {
        #expect(answer.metadata.contains(line), "\(line)")
      }
      #expect(answer.metadata.filter { $0.hasPrefix("x-two") } == ["x-two=a b,c", "x-two=again"])
    }
  }

  @Test func `errors come with their details, plain ones as the nearest code`() async throws {
    try await TheirServer.run { channel, _ in
      let detailed = EchoRequest.with {
        $0.status = 10
        $0.message = "über 100% \n weg"
        $0.reason = "STALE"
        $0.facts = ["path": "/ü", "revision": "7"]
      }
      let error = await failure { _ = try await channel.call(EchoMethods.unary, detailed) }
      #expect(error?.code == .stale)
      #expect(error?.message == "über 100% \n weg")
      #expect(error?.metadata == ["path": "/ü", "revision": "7"])
      for status in RPCStatus.Code.allCases
      where status != .ok && status != .unavailable && status != .unknown {
        let request = EchoRequest.with {
          $0.status = Int32(status.rawValue)
          $0.message = "plain"
        }
        let error = await failure { _ = try await channel.call(EchoMethods.unsafeUnary, request) }
        #expect(error?.code == status.nearest)
        #expect(error?.message == "plain")
      }
      // After some answers of a stream.
      var count = 0
      let late = await failure {
        try await channel.call(
          EchoMethods.expand,
          .with {
            $0.count = 5; $0.status = 14; $0.message = "gone"
          }
        ) { reader in
          while try await reader.next() != nil { count += 1 }
        }
      }
      #expect(late?.code == .unavailable)
      #expect(count == 5)
      let missing = UnaryMethod(
        path: "/dfs.interop.Echo/Nothing", retry: .never, request: EchoMethods.unary.request,
        response: EchoMethods.unary.response)
      #expect(await failure { _ = try await channel.call(missing, .init()) }?.code == .unimplemented)
    }
  }

  @Test func `a deadline is sent, kept, and ends the call there as well`() async throws {
    try await TheirServer.run { channel, _ in
      let options = CallOptions(timeout: .seconds(30))
      let left = try await channel.call(EchoMethods.unary, .init(), options: options).deadlineMs
      #expect((1...30_000).contains(left))
      let none = try await channel.call(EchoMethods.unary, .init()).deadlineMs
      #expect(none == 0)
      // The answer never comes.
      let error = await failure {
        _ = try await channel.call(
          EchoMethods.unary, .with { $0.delayMs = -1 }, options: CallOptions(timeout: .milliseconds(300)))
      }
      #expect(error?.code == .deadlineExceeded)
      try await eventually("the handler was never cancelled") { try await cancelledCount(channel) >= 1 }
    }
  }

  @Test func `a cancelled task cancels the call there, unary or in the middle of a stream`() async throws {
    try await TheirServer.run { channel, _ in
      let unary = Task { _ = try await channel.call(EchoMethods.unary, .with { $0.delayMs = -1 }) }
      let first = AsyncStream.makeStream(of: Void.self)
      let stream = Task {
        try await channel.call(
          EchoMethods.expand,
          .with {
            $0.count = 1_000_000; $0.delayMs = 5
          }
        ) { reader in
          while try await reader.next() != nil { first.continuation.yield() }
        }
      }
      for await _ in first.stream { break }
      try await eventually("the calls never began") {
        try await channel.call(EchoMethods.statistics, .init()).started >= 2
      }
      unary.cancel()
      stream.cancel()
      #expect(await failure { try await unary.value }?.code == .cancelled)
      #expect(await failure { try await stream.value }?.code == .cancelled)
      // Leaving a stream early is the same to the server.
      try await channel.call(
        EchoMethods.expand,
        .with {
          $0.count = 1_000_000; $0.delayMs = 5
        }
      ) { reader in
        _ = try await reader.next()
      }
      try await eventually("the handlers were never cancelled") { try await cancelledCount(channel) >= 3 }
    }
  }

  @Test func `a server that ends a call while we send ends it for the writer too`() async throws {
    try await TheirServer.run { channel, _ in
      let error = await failure {
        try await channel.call(EchoMethods.chat) { writer, reader in
          try await writer.write(
            .with {
              $0.status = 8; $0.message = "enough"
            })
          while try await reader.next() != nil {}
        }
      }
      #expect(error?.code == .exhausted)
      let collected = await failure {
        _ = try await channel.call(EchoMethods.collect) { writer in
          try await writer.write(
            .with {
              $0.status = 8; $0.message = "enough"
            })
          while true { try await writer.write(.with { $0.payload = Data(count: 100_000) }) }
        }
      }
      #expect(collected?.code == .exhausted)
    }
  }

  @Test func `a hundred streams run at once`() async throws {
    try await TheirServer.run { channel, _ in
      try await withThrowingTaskGroup { group in
        for number in 0..<100 {
          group.addTask {
            try await channel.call(EchoMethods.chat) { writer, reader in
              for round in 0..<20 {
                let sent = Data("\(number) \(round)".utf8)
                try await writer.write(.with { $0.payload = sent })
                let answer = try await reader.next()
                #expect(answer?.payload == sent)
              }
              try await writer.finish()
              let end = try await reader.next()
              #expect(end == nil)
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `keepalive pings go out and are answered`() async throws {
    try await TheirServer.run([], { $0.http2.keepaliveInterval = .milliseconds(400) }) { channel, _ in
      let answer = try await channel.call(EchoMethods.unary, .with { $0.delayMs = 1500 })
      #expect(answer.messages == 0)
    }
  }

  @Test func `a server that drains finishes what runs, and the next call goes to the next endpoint`()
    async throws
  {
    try await TheirServer.run { _, first in
      let second = try await TheirServer(loops: first.loops)
      let channel = first.channel(others: [second.endpoint])
      try await channel.call(EchoMethods.chat) { writer, reader in
        try await writer.write(.with { $0.payload = Data("first".utf8) })
        _ = try await reader.next()
        first.process.send("stop 30")
        let line = try await first.process.line()
        #expect(line == "stopping")
        let began = try await channel.call(
          EchoMethods.statistics, .init(), options: CallOptions(waitForReady: true))
        #expect(began.started <= 1)
        for number in 0..<20 {
          let sent = Data("\(number)".utf8)
          try await writer.write(.with { $0.payload = sent })
          let answer = try await reader.next()
          #expect(answer?.payload == sent)
        }
        try await writer.finish()
        let end = try await reader.next()
        #expect(end == nil)
      }
      try await eventually("the channel never moved on") {
        _ = try await channel.call(EchoMethods.unary, .init(), options: CallOptions(waitForReady: true))
        return try await channel.call(EchoMethods.statistics, .init()).started > 0
      }
      await channel.close()
    }
  }

  @Test func `a killed server ends calls at once, and another takes over`() async throws {
    try await TheirServer.run { _, first in
      let second = try await TheirServer(loops: first.loops)
      let channel = first.channel(others: [second.endpoint])
      _ = try await channel.call(EchoMethods.unary, .init())
      let safe = Task { try await channel.call(EchoMethods.unary, .with { $0.delayMs = 1000 }) }
      let unsafe = Task { try await channel.call(EchoMethods.unsafeUnary, .with { $0.delayMs = -1 }) }
      try await eventually("the calls never began") {
        try await channel.call(EchoMethods.statistics, .init()).started >= 3
      }
      first.process.kill()
      #expect(await failure { _ = try await unsafe.value }?.code == .outcomeUnknown)
      _ = try await safe.value
      await channel.close()
    }
  }

  @Test func `all four kinds work over TLS, and over mutual TLS with a certificate only`() async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("their server")
    let node = try certificates.issue("our client")
    let trust = TLSContext.Trust.authorities(file: certificates.authority)
    let known = try TLSContext(
      clientTrusting: trust,
      identity: TLSIdentityFiles(certificateChain: node.certificate, privateKey: node.key))
    let unknown = try TLSContext(clientTrusting: trust)
    let files = ["--cert", identity.certificate, "--key", identity.key]
    try await TheirServer.run(files, { $0.security = unknown }) { channel, _ in
      try await exerciseAllKinds(channel)
    }
    try await TheirServer.run(files + ["--ca", certificates.authority], { $0.security = known }) {
      channel, server in
      try await exerciseAllKinds(channel)
      let stranger = server.channel { $0.security = unknown }
      let error = await failure { _ = try await stranger.call(EchoMethods.unary, .init()) }
      // grpcio closes without an alert, so the reason stays on its side.
      #expect(error?.code == .unavailable || error?.code == .unauthenticated, "\(String(describing: error))")
      await stranger.close()
      let plain = server.channel()
      #expect(await failure { _ = try await plain.call(EchoMethods.unary, .init()) }?.code == .unavailable)
      await plain.close()
    }
    let others = try TestCertificates("Other Authority")
    let wary = try TLSContext(clientTrusting: .authorities(file: others.authority))
    try await TheirServer.run(files, { $0.security = wary }) { channel, _ in
      let error = await failure { _ = try await channel.call(EchoMethods.unary, .init()) }
      #expect(error?.code == .unauthenticated, "\(String(describing: error))")
    }
  }
}
