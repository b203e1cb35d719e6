import ArgumentParser
import DFSConfig
import DFSCoordinator
import DFSCore
import DFSDataNode
import Foundation
import Logging
import ServiceLifecycle

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Run a whole cluster in this process: a coordinator and datanodes.",
    discussion: """
      Examples:
        dfsd up                 three datanodes, data in ./dfs-data, port 7400
        dfsd up --dir /data/dfs --datanodes 1 --port 7500

      What is stored stays when it is stopped and started again. Everything lies
      on one disk: several copies protect against bad blocks, not against losing
      the disk.
      """)

  @Option(help: ArgumentHelp("Where the data is kept.", valueName: "directory"), completion: .directory)
  var dir = "./dfs-data"
  @Option(help: ArgumentHelp("How many datanodes, 1 to 32.", valueName: "number")) var datanodes = 3
  @Option(help: ArgumentHelp("The coordinator's port on 127.0.0.1; 0 takes a free one.", valueName: "number"))
  var port = 7400
  @Option(
    help: ArgumentHelp("The configuration file; else DFS_CONFIG.", valueName: "file"), completion: .file())
  var config: String?
  @Option(
    help: ArgumentHelp("Any setting of the configuration file, as often as needed.", valueName: "key=value"))
  var set: [String] = []
  @Flag(help: "Print one JSON object when the cluster is ready.") var json = false

  func validate() throws {
    if !(1...32).contains(datanodes) { throw ValidationError("--datanodes is a number from 1 to 32") }
    if !(0...65535).contains(port) { throw ValidationError("--port is a number from 0 to 65535") }
  }

  private struct Output: Encodable {
    var coordinator: String
    var datanodes: [String]
    var directory: String
    var replicas: Int
  }

  func run() async throws {
    RoleRunner.endWhenAsked()
    let directory = URL(fileURLWithPath: dir).standardizedFileURL.path
    let settings = try self.settings(directory)
    settings.startLog()
    let loops = settings.makeLoops()
    let coordinator = CoordinatorServer(
      try CoordinatorConfiguration(settings), loops: loops, logger: Logger(label: "dfs.coordinator"))
    guard let address = try await coordinator.start().first else {
      throw DFSError(.internal, "the coordinator bound no address")
    }
    let nodes = try (1...datanodes).map { number in
      var node = try DataNodeServer.Configuration(settings)
      node.directory = "\(directory)/datanode-\(number)"
      node.coordinators = [address]
      // The processes' parts share one budget of memory.
      node.transferBudget = ByteCount(
        max(ByteCount.mib(4).int, settings.datanode.receiveBudget.int / datanodes))
      return DataNodeServer(node, loops: loops, logger: Logger(label: "dfs.datanode"))
    }
    var addresses: [Endpoint] = []
    for node in nodes { addresses.append(try await node.start()) }
    let command = self
    try await RoleRunner(logger: Logger(label: "dfs.up"), loops: loops).run([coordinator] + nodes) {
      [addresses] in
      for node in nodes { _ = await node.joined() }
      try command.announce(address, addresses, directory, settings)
      return "coordinator at \(address), \(HumanText.count(addresses.count, "datanode", "datanodes"))"
    }
    await loops.shutdown()
    if !json { Terminal.print("stopped; dfsd up --dir \(dir) goes on where this ended") }
  }

  private func settings(_ directory: String) throws -> Settings {
    var flags = [
      "coordinator.listen": "127.0.0.1:\(port)", "coordinator.data": "\(directory)/coordinator",
      "datanode.listen": "127.0.0.1:0", "datanode.data": "\(directory)/datanode",
      // A person watches: lines of every day would hide what matters.
      "log.level": ProcessInfo.processInfo.environment["LOG_LEVEL"] ?? "warning",
    ]
    flags.merge(try RoleOptions.assignments(set)) { $1 }
    var settings = try Settings.load(for: .everything, from: .process(flags: flags, configuration: config))
    settings.coordinator.replicas = min(settings.coordinator.replicas, datanodes)
    return settings
  }

  private func announce(
    _ coordinator: Endpoint, _ datanodes: [Endpoint], _ directory: String, _ settings: Settings
  ) throws {
    let replicas = settings.coordinator.replicas
    if json {
      return try JSONOutput.print(
        Output(
          coordinator: coordinator.description, datanodes: datanodes.map(\.description), directory: directory,
          replicas: replicas), pretty: false)
    }
    let option = coordinator.port == 7400 ? "" : " --coordinators \(coordinator)"
    Terminal.print(
      """
      dfs is up
        coordinator  \(coordinator)
        datanodes    \(datanodes.map(\.description).joined(separator: ", "))
        data         \(directory)
        copies       \(copies(replicas))

      In another terminal:
        dfsd put\(option) FILE /name
        dfsd ls\(option) -l /
        dfsd get\(option) /name copy
        dfsd status\(option)

      Ctrl-C stops it; what is stored stays.
      """)
  }

  private func copies(_ replicas: Int) -> String {
    if replicas == 1 { return "1 of each chunk: nothing protects against a bad disk; try --datanodes 3" }
    return "\(replicas) of each chunk, all on this one disk: they do not protect against losing it"
  }
}
