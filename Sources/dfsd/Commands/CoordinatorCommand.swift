import ArgumentParser
import DFSConfig
import DFSCoordinator
import DFSCore
import DFSMetadata
import DFSRPC
import Foundation
import Logging

struct CoordinatorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coordinator",
    abstract: "Run the coordinator: names, membership, placement.",
    discussion: """
      Examples:
        dfsd coordinator --data /var/lib/dfs/coordinator
        dfsd coordinator --config /etc/dfs/cluster.yaml --set coordinator.replicas=2
      """)

  @OptionGroup var role: RoleOptions

  func run() async throws {
    RoleRunner.endWhenAsked()
    let settings = try role.settings(for: .coordinator, role: "coordinator")
    settings.startLog()
    let logger = Logger(label: "dfs.coordinator")
    let loops = settings.makeLoops()
    let server = CoordinatorServer(try CoordinatorConfiguration(settings), loops: loops, logger: logger)
    let addresses = try await server.start().map(\.description).joined(separator: ", ")
    Terminal.note("dfsd: coordinator serves at \(addresses), data in \(settings.coordinator.data)")
    try await RoleRunner(logger: logger, loops: loops).run([server]) { "serving at \(addresses)" }
    await loops.shutdown()
  }
}

extension CoordinatorConfiguration {
  init(_ settings: Settings) throws {
    let coordinator = settings.coordinator
    self.init(data: coordinator.data, server: try settings.serverConfiguration(listen: coordinator.listen))
    channel = try settings.channelConfiguration()
    chunkSize = coordinator.chunkSize
    namespace.inlineLimit = coordinator.inlineLimit
    namespace.uploadLease = coordinator.uploadLease
    namespace.pinDuration = coordinator.pinLease
    namespace.trashRetention = coordinator.trashRetention
    namespace.trashEntries = UInt64(coordinator.trashEntries)
    namespace.reapGrace = coordinator.reapGrace
    checkPeriod = coordinator.checkPeriod
    namespace.outcomeRetention = coordinator.resultRetention
    namespace.listSnapshotLifetime = coordinator.snapshotLifetime
    namespace.listSnapshots = coordinator.snapshotLimit
    metadataCopies = coordinator.metadataCopies
    namespace.waitingMutations = coordinator.queueLimit
    policy = PlacementPolicy(replicas: UInt8(coordinator.replicas))
    membership.downAfter = coordinator.downAfter
    membership.outAfter = coordinator.outAfter
    membership.startGrace = max(coordinator.outAfter, coordinator.downAfter)
    membership.suspectAfter = coordinator.suspectAfter
    membership.steadiness.probation = max(coordinator.outAfter, .seconds(5))
    membership.lease = coordinator.downAfter
    membership.heartbeat = settings.datanode.heartbeatInterval
    cache = coordinator.cache
    diskThreads = coordinator.diskThreads
    drainGrace = settings.cluster.transport.drainGrace
    version = Version.current
  }
}
