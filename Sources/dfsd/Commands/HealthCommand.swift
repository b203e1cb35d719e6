import ArgumentParser
import DFSClient
import DFSConfig
import DFSCore
import DFSObservability
import DFSRPC
import DFSTransport
import Logging

struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract: "Check whether the process that runs here serves; for health checks of containers.",
    discussion: """
      Examples:
        dfsd health                  what runs here, as settings and environment say
        dfsd health 127.0.0.1:7401   the process at this address
        dfsd health --cluster        the whole cluster

      Asks grpc.health.v1 at coordinator.listen and at datanode.listen, and succeeds
      when one of them serves and none says that it does not. A process is healthy
      while it serves, whatever other nodes do: to restart it would not help these.
      With --cluster: success when the coordinator answers, a datanode is up and every
      group of chunks can be read.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: ArgumentHelp("The process to ask.", valueName: "host:port")) var address: String?
  @Flag(help: "Ask the coordinator about the whole cluster.") var cluster = false
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    if cluster, address != nil { throw ValidationError("--cluster and an address exclude each other") }
    if !cluster, client.coordinators != nil {
      throw ValidationError("--coordinators goes with --cluster; name a process by its address alone")
    }
  }

  func run() async throws {
    if cluster { try await checkCluster() } else { try await checkProcess() }
  }

  // MARK: One process

  private struct ProcessOutput: Encodable {
    struct Process: Encodable {
      var address: String
      var status: String
    }
    var healthy: Bool
    var processes: [Process]
  }

  /// What an address answered.
  private enum Answer: String, Sendable {
    case serving
    case notServing = "not_serving"
    case silent
  }

  /// Longer than a process that lives needs, shorter than the patience of container runtimes.
  private static let patience = Duration.seconds(3)

  private func checkProcess() async throws {
    let settings = try client.settings()
    LogSystem.start(level: .critical) { nil }
    let places = try address.map { [try Endpoint($0, defaultPort: 7400)] } ?? settings.ownAddresses
    var configuration = RPCChannel.Configuration()
    configuration.security = try settings.clientSecurity()
    configuration.connectTimeout = Self.patience
    configuration.maxAttempts = 1
    let loops = NetworkLoops(count: 1)
    let answers = await withTaskGroup(of: (Int, Answer).self) { [configuration] group in
      for (number, place) in places.enumerated() {
        group.addTask {
          let channel = RPCChannel(
            endpoints: [place], configuration: configuration, loops: loops, logger: Logger(label: "dfs.health"))
          let status = try? await channel.health(within: Self.patience)
          await channel.close()
          return (number, status.map { $0 == .serving ? .serving : .notServing } ?? .silent)
        }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    await loops.shutdown()
    try report(places.indices.map { (places[$0].description, answers[$0] ?? .silent) })
  }

  private func report(_ answers: [(address: String, answer: Answer)]) throws {
    let serving = answers.filter { $0.answer == .serving }.map(\.address)
    let refusing = answers.filter { $0.answer == .notServing }.map(\.address)
    let isHealthy = !serving.isEmpty && refusing.isEmpty
    if json {
      try JSONOutput.print(
        ProcessOutput(
          healthy: isHealthy, processes: answers.map { .init(address: $0.address, status: $0.answer.rawValue) }))
    } else if isHealthy {
      Terminal.print("healthy: serving at \(serving.joined(separator: ", "))")
    }
    guard !isHealthy else { return }
    if !refusing.isEmpty {
      throw DFSError(.unavailable, "the process at \(refusing.joined(separator: ", ")) does not serve: it is stopping")
    }
    throw DFSError(
      .unavailable,
      "nothing serves at \(answers.map(\.address).joined(separator: " or ")); name another address, or see --cluster")
  }

  // MARK: The cluster

  private struct ClusterOutput: Encodable {
    var healthy: Bool
    var safety: String
    var nodesUp: Int
    var groupsUnreadable: Int
    var groupsUnwritable: Int
  }

  private func checkCluster() async throws {
    let json = self.json
    try await client.withClient { client in
      let status = try await client.status()
      let isHealthy = status.groupsUnreadable == 0 && status.nodesUp > 0
      if json {
        try JSONOutput.print(
          ClusterOutput(
            healthy: isHealthy, safety: status.safety.rawValue, nodesUp: status.nodesUp,
            groupsUnreadable: status.groupsUnreadable, groupsUnwritable: status.groupsUnwritable))
      } else if isHealthy {
        Terminal.print("healthy: \(HumanText.count(status.nodesUp, "datanode", "datanodes")) up")
      }
      guard isHealthy else {
        guard status.nodesUp > 0 else {
          throw DFSError(.unavailable, "no datanode is up; see dfsd status")
        }
        let groups = HumanText.count(status.groupsUnreadable, "group of chunks", "groups of chunks")
        throw DFSError(.unavailable, "\(groups) cannot be read: too many datanodes are down")
      }
    }
  }
}

extension Settings {
  /// Where a coordinator and a datanode with these settings are reached from their own machine.
  fileprivate var ownAddresses: [Endpoint] {
    // A certificate names the address that others use.
    let known = cluster.tls == nil ? nil : cluster.coordinators.first { $0.port == coordinator.listen.port }
    let own = [
      reachable(coordinator.listen, known), reachable(datanode.listen, cluster.tls == nil ? nil : datanode.advertise),
    ]
    return own.filter { $0.port != 0 }
  }

  private func reachable(_ listen: Endpoint, _ advertised: Endpoint?) -> Endpoint {
    switch listen.host {
    case "0.0.0.0": advertised ?? Endpoint(host: "127.0.0.1", port: listen.port)
    case "::": advertised ?? Endpoint(host: "::1", port: listen.port)
    default: listen
    }
  }
}
