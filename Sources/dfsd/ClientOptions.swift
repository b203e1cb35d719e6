import ArgumentParser
import DFSClient
import DFSConfig
import DFSCore
import DFSObservability
import Foundation
import Logging

/// Where the cluster is, and how it is spoken to: the options of every client command.
struct ClientOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Addresses of the coordinator, separated by commas.",
      discussion:
        "Else DFS_COORDINATORS, else COORDINATOR_HOST and COORDINATOR_PORT, else the configuration file.",
      valueName: "host:port,…"))
  var coordinators: String?

  @Option(
    help: ArgumentHelp("The configuration file; else DFS_CONFIG.", valueName: "file"), completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "How long to wait for what is away, such as 30s or 5m; a third of that where too few datanodes are left.",
      valueName: "duration"))
  var timeout: String?

  /// Checks everything that can be checked without the cluster.
  func settings() throws -> Settings {
    var flags: [String: String] = [:]
    if let coordinators { flags["coordinators"] = coordinators }
    if let timeout { flags["client.timeout"] = timeout }
    return try Settings.load(for: .client, from: .process(flags: flags, configuration: config))
  }

  /// Runs `body` with a client, and ends both cleanly on SIGINT or SIGTERM.
  func withClient<Result: Sendable>(_ body: @escaping @Sendable (DFSClient) async throws -> Result)
    async throws -> Result
  {
    let settings = try settings()
    // Commands talk to people: a line of the library's log is shown only when somebody asked for it.
    let level = ProcessInfo.processInfo.environment["LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0) }
    LogSystem.start(level: level ?? .critical) { OperationTrace.id }
    let client = try DFSClient.connect(
      coordinators: settings.cluster.coordinators, configuration: ClientConfiguration(settings))
    do {
      let result = try await Interruption.run { try await body(client) }
      await client.close()
      return result
    } catch {
      await client.close()
      throw error
    }
  }
}

extension ClientConfiguration {
  init(_ settings: Settings) {
    self.init()
    if let tls = settings.cluster.tls {
      self.tls = TLS(certificate: tls.certificate, key: tls.key, authorities: tls.authorities)
    }
    parallelism = settings.client.parallelism
    memoryBudget = settings.client.memoryBudget
    patience = settings.client.timeout
    connectTimeout = min(connectTimeout, patience)
    stallTimeout = settings.client.stallTimeout
    writeStallTimeout = settings.client.writeStallTimeout
    hedgeAfter = settings.client.hedgeAfter
    spoolDirectory = settings.client.spool
  }
}
