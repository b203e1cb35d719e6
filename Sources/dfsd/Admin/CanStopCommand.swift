import ArgumentParser
import DFSClient
import DFSCore

struct CanStopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "can-stop",
    abstract: "Ask whether datanodes can be stopped now without making anything unreadable or unwritable.",
    discussion: """
      Examples:
        dfsd admin can-stop 3f2a && systemctl stop dfsd-datanode@1
        dfsd admin can-stop 3f2a 77c0      both at once

      Exit status 0 when they can be stopped, \(ExitStatus.failedPrecondition.rawValue) when not.
      """)

  @OptionGroup var client: ClientOptions
  @Argument(help: NodeName.help) var nodes: [NodeName]
  @Flag(help: "Print JSON.") var json = false

  private struct Output: Encodable {
    var canStop: Bool
    var nodes: [String]
    var groupsUnreadable: Int
    var groupsUnwritable: Int
    var reason: String?
  }

  func run() async throws {
    let (names, json) = (nodes, json)
    try await client.withClient { client in
      let known = try await client.nodes()
      let nodes = try names.map { try $0.find(among: known).id }
      let advice = try await client.canStop(nodes)
      if json {
        try JSONOutput.print(
          Output(
            canStop: advice.canStop, nodes: nodes.map(\.description), groupsUnreadable: advice.groupsUnreadable,
            groupsUnwritable: advice.groupsUnwritable, reason: advice.reason.isEmpty ? nil : advice.reason))
      } else if advice.canStop {
        Terminal.print("yes: everything stays readable and writable")
      } else {
        Terminal.print("no: \(HumanText.name(advice.reason))")
      }
      if !advice.canStop { throw ExitStatus.failedPrecondition.exitCode }
    }
  }
}
