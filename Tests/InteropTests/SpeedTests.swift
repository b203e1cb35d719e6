import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import Foundation
import Logging
import NIOCore
import TestSupport
import Testing

/// Figures on demand: `DFS_SPEED=1 swift test -c release --filter SpeedTests`. Both ends are in this process,
/// so the CPU time is that of both.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["DFS_SPEED"] != nil), .serialized)
struct SpeedTests {
  private static let bytes = Marshaller<ByteBuffer>(encode: { OutgoingMessage(head: $0) }, decode: { $0 })
  private static let unary = UnaryMethod(
    path: "/speed.Speed/Unary", retry: .whenSafe, request: bytes, response: bytes)
  private static let upload = ClientStreamingMethod(
    path: "/speed.Speed/Upload", retry: .never, request: bytes, response: bytes)

  private func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private func measure(_ what: String, per count: Double, unit: String, _ body: () async throws -> Void)
    async throws
  {
    let cpu = cpuSeconds()
    let start = ContinuousClock.now
    try await body()
    let wall = (ContinuousClock.now - start) / .seconds(1)
    let used = cpuSeconds() - cpu
    print("\(what): \(used / count) CPU \(unit), \(wall / count) wall \(unit)")
  }

  private func run(_ name: String, _ server: TLSContext?, _ client: TLSContext?) async throws {
    var router = RPCRouter()
    router.handle(Self.unary) { request, _ in request }
    router.handle(Self.upload) { reader, _ in
      var count = 0
      while let message = try await reader.next() { count += message.readableBytes }
      return ByteBuffer(string: String(count))
    }
    let loops = NetworkLoops(count: 2)
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    configuration.security = server
    let logger = Logger(label: "speed")
    let listener = RPCServer(router: router, configuration: configuration, loops: loops, logger: logger)
    let endpoint = try #require(try await listener.start().first)
    var calling = RPCChannel.Configuration()
    calling.security = client
    let channel = RPCChannel(endpoints: [endpoint], configuration: calling, loops: loops, logger: logger)
    let small = ByteBuffer(repeating: 1, count: 100)
    for _ in 0..<2000 { _ = try await channel.call(Self.unary, small) }
    try await measure("\(name): one caller", per: 10_000 / 1e6, unit: "µs a call") {
      for _ in 0..<10_000 { _ = try await channel.call(Self.unary, small) }
    }
    try await measure("\(name): 64 callers", per: 64 * 500 / 1e6, unit: "µs a call") {
      try await withThrowingTaskGroup { group in
        for _ in 0..<64 {
          group.addTask { for _ in 0..<500 { _ = try await channel.call(Self.unary, small) } }
        }
        try await group.waitForAll()
      }
    }
    let piece = ByteBuffer(repeating: 2, count: 256 << 10)
    for _ in 0..<2 {
      try await measure("\(name): upload in pieces of 256 KiB", per: 1, unit: "s/GiB") {
        _ = try await channel.call(Self.upload) { writer in
          for _ in 0..<4096 { try await writer.write(piece) }
        }
      }
    }
    await channel.close()
    await listener.drain(grace: .zero)
    await loops.shutdown()
  }

  @Test func `calls and bytes, plain and over TLS`() async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("server")
    try await run("plain", nil, nil)
    try await run(
      "TLS",
      try TLSContext(
        server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key)),
      try TLSContext(clientTrusting: .authorities(file: certificates.authority)))
  }
}
