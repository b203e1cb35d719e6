import ArgumentParser
import DFSClient
import DFSCore

struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract:
      "Check in one call whether the cluster serves; for health checks of containers and load balancers.",
    discussion: """
      Success when the coordinator answers and every group of chunks can be read.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    var healthy: Bool
    var nodesUp: Int
    var groupsUnreadable: Int
    var groupsUnwritable: Int
  }

  func run() async throws {
    let json = self.json
    try await client.withClient { client in
      let status = try await client.status()
      let isHealthy = status.groupsUnreadable == 0
      if json {
        try JSONOutput.print(
          Output(
            healthy: isHealthy, nodesUp: status.nodesUp, groupsUnreadable: status.groupsUnreadable,
            groupsUnwritable: status.groupsUnwritable))
      } else if isHealthy {
        Terminal.print("healthy: \(HumanText.count(status.nodesUp, "datanode", "datanodes")) up")
      }
      guard isHealthy else {
        throw DFSError(
          .unavailable,
          "\(status.groupsUnreadable) groups of chunks cannot be read: too many datanodes are down")
      }
    }
  }
}
