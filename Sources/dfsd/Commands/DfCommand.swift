import ArgumentParser
import DFSClient
import DFSCore

struct DfCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "df",
    abstract: "Show the space of the datanodes.",
    discussion: """
      "usable" is what new files may take at the cluster's number of copies.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    let json = self.json
    try await client.withClient { client in
      let status = try await client.status()
      let nodes = try await client.nodes()
      if json { return try JSONOutput.print(StatusOutput(status, nodes)) }
      var rows = [["node", "capacity", "chunks take", "free", "state"]]
      for node in nodes where node.state != .removed {
        rows.append(["\(node.id)", "\(node.capacity)", "\(node.stored)", "\(node.free)", node.state.rawValue])
      }
      rows.append([
        "all", "\(status.capacity)", "\(status.stored)", "\(status.free)", "\(status.usable) usable",
      ])
      HumanText.table(rows, right: [1, 2, 3]).forEach { Terminal.print($0) }
    }
  }
}
