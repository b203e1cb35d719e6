import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import Foundation
import Logging
import TestSupport
import Testing

/// Our server with everything that the foreign client asks for.
final class OurServer: Sendable {
  let server: RPCServer
  let loops: NetworkLoops
  let endpoint: Endpoint
  let echo: EchoService
  let health: HealthService

  init(_ change: (inout RPCServer.Configuration) -> Void = { _ in }) async throws {
    echo = EchoService()
    health = HealthService()
    health.set(.serving)
    health.set(.serving, for: "flipping")
    var router = RPCRouter()
    echo.register(in: &router)
    health.register(in: &router)
    let descriptors = try Data(contentsOf: URL(fileURLWithPath: ForeignProcess.folder + "/interop.binpb"))
    try router.addReflection(of: [[UInt8](descriptors)])
    var configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    change(&configuration)
    loops = NetworkLoops(count: 2)
    server = RPCServer(
      router: router, configuration: configuration, loops: loops, logger: Logger(label: "interop"))
    endpoint = try #require(try await server.start().first)
  }

  func stop() async {
    await server.drain(grace: .zero)
    await loops.shutdown()
  }

  /// Runs one case of `client.py`; `during` runs when it has started.
  func serve(
    _ name: String, _ arguments: [String] = [], host: String = "127.0.0.1",
    during: (ForeignProcess) async throws -> Void = { _ in }
  ) async throws {
    do {
      let client = try ForeignProcess(
        script: "client.py", ["--target", "\(host):\(endpoint.port)", "--case", name] + arguments)
      defer { client.kill() }
      try await during(client)
      try await client.succeed()
    } catch {
      await stop()
      throw error
    }
    await stop()
  }
}

/// Python's grpcio calls our server.
@Suite(.timeLimit(.minutes(2))) struct ForeignClientTests {
  @Test(arguments: [
    "unary", "many_unary", "too_large", "server_streaming", "client_streaming", "bidirectional", "metadata",
    "errors",
    "error_after_answers", "unknown_method", "malformed", "deadline", "cancel_by_client", "cancel_by_server",
    "hundred_streams", "slow_reader", "gzip", "reflection", "keepalive",
  ])
  func `grpcio as a client passes`(name: String) async throws {
    try await OurServer().serve(name)
  }

  @Test func `grpcio sees a service stop serving while it watches`() async throws {
    let ours = try await OurServer()
    try await ours.serve("health") { client in
      let line = try await client.line()
      #expect(line == "watching")
      ours.health.set(.notServing, for: "flipping")
    }
  }

  @Test func `a drain in the middle of a call lets it finish and refuses new ones`() async throws {
    let ours = try await OurServer()
    try await ours.serve("drain") { client in
      let line = try await client.line()
      #expect(line == "running")
      let drained = Task { await ours.server.drain(grace: .seconds(30)) }
      client.send("drained")
      await drained.value
    }
  }

  @Test(arguments: ["unary", "server_streaming", "client_streaming", "bidirectional", "hundred_streams"])
  func `grpcio passes over TLS`(name: String) async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("server")
    let ours = try await OurServer { configuration in
      configuration.security = try? TLSContext(
        server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key))
    }
    try await ours.serve(name, ["--ca", certificates.authority])
  }

  @Test func `mutual TLS knows grpcio by its certificate, and refuses it without one`() async throws {
    let certificates = try TestCertificates()
    let identity = try certificates.issue("server")
    let client = try certificates.issue("interop client")
    let security = try TLSContext(
      server: TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key),
      clients: .authorities(file: certificates.authority))
    try await OurServer { $0.security = security }.serve(
      "peer", ["--ca", certificates.authority, "--cert", client.certificate, "--key", client.key])
    try await OurServer { $0.security = security }.serve("not_trusted", ["--ca", certificates.authority])
    let others = try TestCertificates("Other Authority")
    let stranger = try others.issue("interop client")
    try await OurServer { $0.security = security }.serve(
      "not_trusted", ["--ca", certificates.authority, "--cert", stranger.certificate, "--key", stranger.key])
  }
}
