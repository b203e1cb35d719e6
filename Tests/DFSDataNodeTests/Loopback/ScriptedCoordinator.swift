import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging
import NIOConcurrencyHelpers

/// The two calls that a coordinator answers to datanodes, with answers that a test chooses.
final class ScriptedCoordinator: Sendable {
  struct Script: Sendable {
    var cluster = ClusterID(rawValue: 0xC1)
    var epoch = Epoch(incarnation: 1, term: 1)
    var revision = Revision(rawValue: 10)
    var lease: Duration = .seconds(10)
    var groupEpochs: [GroupID: GroupEpoch] = [:]
    /// Heartbeats get no answer.
    var isSilent = false
  }

  struct Record: Sendable {
    var registrations: [WireRegisterNodeRequest] = []
    var heartbeats: [UInt64: WireHeartbeatRequest] = [:]
    var badReplicas: [WireReplicaReport] = []
    var stopped: Set<UInt64> = []
  }

  static let receiptKey = [UInt8](repeating: 0x5A, count: 32)

  let endpoint: Endpoint
  let script: NIOLockedValueBox<Script>
  let record = NIOLockedValueBox(Record())
  private let server: RPCServer

  private init(_ server: RPCServer, _ endpoint: Endpoint, _ script: NIOLockedValueBox<Script>) {
    self.server = server
    self.endpoint = endpoint
    self.script = script
  }

  static func start(
    _ script: Script = Script(), on endpoint: Endpoint = Endpoint(host: "127.0.0.1", port: 0),
    loops: NetworkLoops,
    security: (any ChannelSecurity)? = nil
  ) async throws -> ScriptedCoordinator {
    let holder = NIOLockedValueBox<ScriptedCoordinator?>(nil)
    var router = RPCRouter()
    router.handle(CoordinatorMethods.registerNode) { request, _ in
      guard let self = holder.withLockedValue({ $0 }) else { throw DFSError(.unavailable, "starting") }
      return self.register(request)
    }
    router.handle(CoordinatorMethods.heartbeat) { reader, writer, _ in
      guard let self = holder.withLockedValue({ $0 }) else { throw DFSError(.unavailable, "starting") }
      try await self.serve(reader, writer)
    }
    var listening = RPCServer.Configuration(listen: [endpoint])
    listening.security = security
    let server = RPCServer(
      router: router, configuration: listening, loops: loops, logger: Logger(label: "coordinator"))
    let bound = try await server.start()[0]
    let coordinator = ScriptedCoordinator(server, bound, NIOLockedValueBox(script))
    holder.withLockedValue { $0 = coordinator }
    return coordinator
  }

  func stop() async { await server.drain(grace: .zero) }

  private func register(_ request: WireRegisterNodeRequest) -> WireRegisterNodeResponse {
    record.withLockedValue { $0.registrations.append(request) }
    let script = script.withLockedValue { $0 }
    return .with {
      $0.cluster = script.cluster.rawValue
      $0.epoch = WireEpoch(script.epoch)
      $0.revision = script.revision.rawValue
      $0.receiptKey = Data(Self.receiptKey)
      $0.heartbeatMs = 50
      $0.leaseMs = script.lease.milliseconds
      $0.protocol = 1
    }
  }

  private func serve(
    _ reader: MessageReader<WireHeartbeatRequest>, _ writer: MessageWriter<WireHeartbeatResponse>
  ) async throws {
    while let beat = try await reader.next() {
      record.withLockedValue {
        $0.heartbeats[beat.node] = beat
        $0.badReplicas += beat.badReplicas
        if beat.stopping { $0.stopped.insert(beat.node) }
      }
      let script = script.withLockedValue { $0 }
      if script.isSilent { continue }
      try await writer.write(
        .with {
          $0.sequence = beat.sequence
          $0.epoch = WireEpoch(script.epoch)
          $0.revision = script.revision.rawValue
          $0.leaseMs = script.lease.milliseconds
          $0.groupEpochs = script.groupEpochs.map { group, epoch in
            .with {
              $0.group = group.rawValue
              $0.epoch = epoch.rawValue
            }
          }
        })
    }
  }
}

extension Duration {
  var milliseconds: UInt64 {
    UInt64(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
  }
}

/// Waits until `condition` holds; false after `limit`. For what happens on other machines' time only.
func eventually(within limit: Duration = .seconds(30), _ condition: () async throws -> Bool) async rethrows
  -> Bool
{
  let end = ContinuousClock.now.advanced(by: limit)
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try? await Task.sleep(for: .milliseconds(20))
  }
  return false
}
