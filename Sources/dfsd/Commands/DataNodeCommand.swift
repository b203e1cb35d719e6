import ArgumentParser
import DFSConfig
import DFSCore
import DFSDataNode
import Foundation
import Logging

struct DataNodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "datanode",
    abstract: "Run a datanode: one directory on one disk, served to clients and peers.",
    discussion: """
      Examples:
        dfsd datanode --data /disks/1 --coordinators 10.0.0.1:7400 --zone rack-7
        dfsd datanode --config /etc/dfs/cluster.yaml --data /disks/2

      It may be started before its coordinator: it joins by itself when that is there.
      """)

  @OptionGroup var role: RoleOptions
  @Option(help: ArgumentHelp("Addresses of the coordinator, separated by commas.", valueName: "host:port,…"))
  var coordinators: String?
  @Option(
    help: ArgumentHelp("What fails together with this node: a host, a rack, a room.", valueName: "name"))
  var zone: String?
  @Option(
    help: ArgumentHelp(
      "The address that others use, when it is not the one it listens on.", valueName: "host:port"))
  var advertise: String?

  func run() async throws {
    RoleRunner.endWhenAsked()
    let settings = try role.settings(
      for: .datanode, role: "datanode",
      flags: ["coordinators": coordinators, "datanode.zone": zone, "datanode.advertise": advertise])
    settings.startLog()
    let logger = Logger(label: "dfs.datanode")
    let loops = settings.makeLoops()
    let server = DataNodeServer(try DataNodeServer.Configuration(settings), loops: loops, logger: logger)
    let address = try await server.start()
    Terminal.note("dfsd: datanode serves at \(address), data in \(settings.datanode.data)")
    try await RoleRunner(logger: logger, loops: loops).run([server]) { "serving at \(address)" }
    await loops.shutdown()
  }
}

extension DataNodeServer.Configuration {
  init(_ settings: Settings) throws {
    let node = settings.datanode
    self.init(directory: node.data, listen: node.listen, coordinators: settings.cluster.coordinators)
    advertise = node.advertise
    zone = node.zone ?? ""
    reserve = node.reserve
    smallChunkLimit = node.smallChunkLimit
    cache = node.cache
    transferBudget = node.receiveBudget
    maxTransfers = node.maxTransfers
    stragglerTimeout = node.stragglerTimeout
    heartbeatInterval = node.heartbeatInterval
    diskThreads = node.diskThreads
    repairRate = node.repairRate
    scrubPeriod = node.scrubPeriod
    drainGrace = settings.cluster.transport.drainGrace
    serverSecurity = try settings.serverSecurity()
    clientSecurity = try settings.clientSecurity()
    version = Version.current
  }
}
