import ArgumentParser
import DFSClient
import DFSCore

struct NodesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nodes",
    abstract: "List the datanodes.",
    discussion: """
      Examples:
        dfsd admin nodes
        dfsd admin nodes -l         also slots, bad copies, scrub and version
        dfsd admin nodes --json     one object per line

      Removed nodes are listed with -l and with --json only.
      """)

  @OptionGroup var client: ClientOptions
  @Flag(name: .customShort("l"), help: "Show all that is known of each.") var long = false
  @Flag(help: "Print one JSON object per line.") var json = false

  func run() async throws {
    let nodes = try await client.withClient { try await $0.nodes() }
    if json {
      for node in nodes { try JSONOutput.print(NodeOutput(node), pretty: false) }
      return
    }
    let shown = long ? nodes : nodes.filter { $0.state != .removed }
    NodeTable.lines(of: shown, isLong: long).forEach { Terminal.print($0) }
  }
}

/// Datanodes as a table.
enum NodeTable {
  static func lines(of nodes: [NodeStatus], isLong: Bool) -> [String] {
    guard !nodes.isEmpty else { return ["no datanode has registered yet; start one with dfsd datanode"] }
    var head = ["node", "address", "zone", "chunks", "taken", "free", "seen"]
    if isLong { head += ["slots", "bad", "scrubbed", "version"] }
    let rows = nodes.map { node in
      var row = [
        "\(node.id)", HumanText.name(node.address), node.zone.isEmpty ? "-" : HumanText.name(node.zone),
        "\(node.chunks)", "\(node.stored)", "\(node.free)", "\(HumanText.duration(node.lastContact)) ago",
      ]
      if isLong {
        row += ["\(node.slots)", "\(node.quarantined)", scrub(node), HumanText.name(node.version)]
      }
      return row + [state(node)]
    }
    return HumanText.table([head + ["state"]] + rows, right: isLong ? [3, 4, 5, 7, 8] : [3, 4, 5])
  }

  private static func scrub(_ node: NodeStatus) -> String {
    let part = "\(Int(node.scrubPart * 100)) %"
    guard let since = node.sinceScrub else { return part + " of the first" }
    return "\(HumanText.duration(since)) ago, \(part)"
  }

  static func state(_ node: NodeStatus) -> String {
    var state = node.state.rawValue
    if node.isSuspect { state += ", not trusted" }
    if node.state == .draining {
      state += node.drainChunksLeft == 0 ? ", empty" : ", \(HumanText.count(node.slots, "slot", "slots")) left"
    }
    if !node.isWritable, node.state == .up, !node.isSuspect {
      state += node.reason.isEmpty ? ", read only" : ", read only: \(HumanText.name(node.reason))"
    }
    return state
  }
}
