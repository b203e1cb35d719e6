import DFSClient
import DFSCoordinator
import DFSCore
import DFSCrypto
import DFSDataNode
import DFSRPC
import DFSTransport
import Logging
import NIOConcurrencyHelpers
import TestSupport

/// The real roles in this process: a coordinator and datanodes on ports of their own, in directories that go
/// away with the value. Roles can be stopped and started again while a test runs.
final class RunningCluster: Sendable {
  private struct Roles: Sendable {
    var coordinator: CoordinatorServer?
    var nodes: [Int: DataNodeServer] = [:]
    var runs: [ObjectIdentifier: Task<Void, any Error>] = [:]
    var address: Endpoint?
    var nodeAddresses: [Int: Endpoint] = [:]
  }

  private let directory: TemporaryDirectory
  private let loops = NetworkLoops(count: 2)
  private let logger: Logger
  private let roles = NIOLockedValueBox(Roles())
  private let change: @Sendable (inout CoordinatorConfiguration) -> Void
  /// Mutual TLS everywhere, when given.
  private let security: Security?

  struct Security: Sendable {
    let server: TLSContext
    let client: TLSContext
    let files: ClientConfiguration.TLS

    init(_ certificates: TestCertificates) throws {
      let identity = try certificates.issue("dfs")
      let files = TLSIdentityFiles(certificateChain: identity.certificate, privateKey: identity.key)
      server = try TLSContext(server: files, clients: .authorities(file: certificates.authority))
      client = try TLSContext(clientTrusting: .authorities(file: certificates.authority), identity: files)
      self.files = ClientConfiguration.TLS(
        certificate: identity.certificate, key: identity.key, authorities: certificates.authority)
    }
  }

  /// Starts everything, hands it to `body`, and stops what is left.
  static func run(
    datanodes: Int = 3, certificates: TestCertificates? = nil,
    coordinator change: @escaping @Sendable (inout CoordinatorConfiguration) -> Void = { _ in },
    _ body: (RunningCluster, DFSClient) async throws -> Void
  ) async throws {
    let cluster = try RunningCluster(change, certificates.map { try Security($0) })
    do {
      try await cluster.startCoordinator()
      for number in 0..<datanodes { try await cluster.startDatanode(number) }
      let client = try cluster.client()
      do {
        try await body(cluster, client)
      } catch {
        await client.close()
        throw error
      }
      await client.close()
    } catch {
      await cluster.stop()
      throw error
    }
    await cluster.stop()
  }

  private init(_ change: @escaping @Sendable (inout CoordinatorConfiguration) -> Void, _ security: Security?)
    throws
  {
    self.security = security
    directory = try TemporaryDirectory("dfs-running")
    self.change = change
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    self.logger = logger
  }

  var address: Endpoint {
    get throws {
      guard let address = roles.withLockedValue({ $0.address }) else {
        throw DFSError(.internal, "not started")
      }
      return address
    }
  }

  func client(_ change: (inout ClientConfiguration) -> Void = { _ in }) throws -> DFSClient {
    var configuration = ClientConfiguration()
    configuration.patience = .seconds(20)
    configuration.tls = security?.files
    change(&configuration)
    return try DFSClient.connect(coordinators: [try address], configuration: configuration)
  }

  func startCoordinator() async throws {
    let listen = roles.withLockedValue { $0.address } ?? Endpoint(host: "127.0.0.1", port: 0)
    var configuration = CoordinatorConfiguration(
      data: directory.path + "/coordinator", server: RPCServer.Configuration(listen: [listen]))
    configuration.drainGrace = .milliseconds(200)
    configuration.server.security = security?.server
    configuration.channel.security = security?.client
    change(&configuration)
    let server = CoordinatorServer(configuration, loops: loops, logger: logger)
    let bound = try await server.start()[0]
    roles.withLockedValue {
      $0.coordinator = server
      $0.address = bound
      $0.runs[ObjectIdentifier(server)] = Task { try await server.run() }
    }
  }

  func startDatanode(_ number: Int) async throws {
    let listen = roles.withLockedValue { $0.nodeAddresses[number] } ?? Endpoint(host: "127.0.0.1", port: 0)
    var configuration = DataNodeServer.Configuration(
      directory: directory.path + "/datanode-\(number)", listen: listen, coordinators: [try address])
    configuration.reserve = .mib(16)
    configuration.drainGrace = .milliseconds(200)
    configuration.heartbeatInterval = .milliseconds(200)
    configuration.serverSecurity = security?.server
    configuration.clientSecurity = security?.client
    let server = DataNodeServer(configuration, loops: loops, logger: logger)
    let bound = try await server.start()
    roles.withLockedValue {
      $0.nodes[number] = server
      $0.nodeAddresses[number] = bound
      $0.runs[ObjectIdentifier(server)] = Task { try await server.run() }
    }
    _ = await server.joined()
  }

  func stopCoordinator() async throws {
    guard let server = roles.withLockedValue({ $0.coordinator }) else { return }
    server.stop()
    try await finish(server)
  }

  /// One call to the coordinator, as it is on the wire.
  func coordinatorCall<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request
  ) async throws -> Response {
    var configuration = RPCChannel.Configuration()
    configuration.security = security?.client
    let channel = RPCChannel(
      endpoints: [try address], configuration: configuration, loops: loops, logger: logger)
    do {
      let response = try await channel.call(
        method, request, options: CallOptions(timeout: .seconds(20), waitForReady: true))
      await channel.close()
      return response
    } catch {
      await channel.close()
      throw error
    }
  }

  /// The number of a datanode that runs.
  func number(of node: NodeID) -> Int? {
    roles.withLockedValue { $0.nodes.first { $0.value.identity == node }?.key }
  }

  func stopDatanode(_ number: Int) async throws {
    guard let server = roles.withLockedValue({ $0.nodes.removeValue(forKey: number) }) else { return }
    server.stop()
    try await finish(server)
  }

  private func finish(_ server: AnyObject) async throws {
    let run = roles.withLockedValue { $0.runs.removeValue(forKey: ObjectIdentifier(server)) }
    try await run?.value
  }

  private func stop() async {
    let (servers, runs) = roles.withLockedValue { ($0, $0.runs.values) }
    for node in servers.nodes.values { node.stop() }
    servers.coordinator?.stop()
    for run in runs { _ = await run.result }
    await loops.shutdown()
  }
}
