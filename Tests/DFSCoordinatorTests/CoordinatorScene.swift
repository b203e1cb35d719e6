import DFSCore
import DFSKeyValue
import DFSMetadata
import DFSRPC
import DFSTransport
import DFSWire
import Logging
import NIOConcurrencyHelpers
import TestSupport

@testable import DFSCoordinator

/// A coordinator over a store in memory, served on a real socket, and a client of it. Its jobs do not run: a
/// test takes their steps.
final class CoordinatorScene: Sendable {
  let store: MemoryStore
  let loops: NetworkLoops
  let disk: BlockingThreads
  let coordinator: Coordinator
  let server: RPCServer
  let channel: RPCChannel
  let time: SteppedTime
  let generator: NIOLockedValueBox<SeededGenerator>

  static let silence = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private init(store: MemoryStore, configure: (inout CoordinatorConfiguration) -> Void) async throws {
    let listen = Endpoint(host: "127.0.0.1", port: 0)
    var configuration = CoordinatorConfiguration(data: "", server: RPCServer.Configuration(listen: [listen]))
    let time = SteppedTime()
    configuration.namespace.elapsed = { time.elapsed }
    // Most tests are about what comes after the trash.
    configuration.namespace.trashRetention = .zero
    configuration.settleTime = .zero
    configure(&configuration)
    self.store = store
    self.time = time
    loops = NetworkLoops(count: 1)
    disk = BlockingThreads(count: 2, name: "test-disk")
    coordinator = try Coordinator(
      store: store, ledger: StandaloneLedger(), configuration: configuration, loops: loops, disk: disk,
      logger: Self.silence, now: { time.now })
    server = RPCServer(
      router: coordinator.router, configuration: configuration.server, loops: loops, logger: Self.silence)
    channel = RPCChannel(
      endpoints: try await server.start(), configuration: RPCChannel.Configuration(), loops: loops,
      logger: Self.silence)
    let seeded = SeededGenerator()
    print("seed \(seeded.seed)")
    generator = NIOLockedValueBox(seeded)
  }

  /// Runs `body` with a coordinator, then stops it; the store stays as it is.
  static func run(
    store: MemoryStore = MemoryStore(), configure: (inout CoordinatorConfiguration) -> Void = { _ in },
    _ body: (CoordinatorScene) async throws -> Void
  ) async throws {
    let scene = try await CoordinatorScene(store: store, configure: configure)
    let result: Result<Void, any Error>
    do { result = .success(try await body(scene)) } catch { result = .failure(error) }
    await scene.channel.close()
    await scene.server.drain(grace: .zero)
    await scene.coordinator.channels.close()
    await scene.coordinator.namespace.close()
    scene.disk.shutdown()
    await scene.loops.shutdown()
    try result.get()
  }

  func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request
  ) async throws -> Response {
    try await channel.call(method, request, options: CallOptions(timeout: .seconds(20), waitForReady: true))
  }

  var watch: WatchNodes { WatchNodes(service: coordinator.service, channels: coordinator.channels) }

  /// A fresh id that saw everything so far.
  func requestID() -> WireRequestId {
    generator.withLockedValue {
      WireRequestId(RequestID.random(seen: coordinator.namespace.revision, using: &$0))
    }
  }

  /// Registers nodes 1 to `count`, each with a first heartbeat.
  func join(_ count: Int, zone: (Int) -> String = { _ in "" }, address: String? = nil) async throws
    -> [ScriptedNode]
  {
    var nodes: [ScriptedNode] = []
    for number in 1...count {
      var node = ScriptedNode(number)
      node.zone = zone(number)
      if let address { node.address = address }
      try await node.register(at: self)
      try await node.beat(at: self)
      nodes.append(node)
    }
    return nodes
  }
}

/// Time for the membership and the namespace that moves when a test says so.
final class SteppedTime: Sendable {
  private let start = ContinuousClock.now
  private let passed = NIOLockedValueBox(Duration.zero)

  var now: ContinuousClock.Instant { start + passed.withLockedValue { $0 } }
  var elapsed: Duration { passed.withLockedValue { $0 } }
  func pass(_ duration: Duration) { passed.withLockedValue { $0 += duration } }
}
