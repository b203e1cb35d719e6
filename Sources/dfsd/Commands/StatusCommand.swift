import ArgumentParser
import DFSClient
import DFSCore

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show the state of the cluster: nodes, space, groups, missing copies.",
    discussion: """
      Examples:
        dfsd status
        dfsd status --json
      """)

  @OptionGroup var client: ClientOptions
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    let json = self.json
    try await client.withClient { client in
      let status = try await client.status()
      let nodes = try await client.nodes()
      if json { return try JSONOutput.print(StatusOutput(status, nodes)) }
      summary(status).forEach { Terminal.print($0) }
      Terminal.print("")
      table(nodes).forEach { Terminal.print($0) }
      let warnings = Self.warnings(status)
      if !warnings.isEmpty { Terminal.print("") }
      warnings.forEach { Terminal.print("! \($0)") }
    }
  }

  private func summary(_ status: ClusterStatus) -> [String] {
    let chunk = status.chunkSize?.description ?? "?"
    return HumanText.table([
      [
        "cluster",
        "\(status.cluster), dfsd \(status.version), epoch \(status.epoch), revision \(status.revision)",
      ],
      ["coordinator", "up for \(HumanText.duration(status.uptime))"],
      ["datanodes", "\(status.nodesUp) up, \(status.nodesDown) down, \(status.nodesOut) out"],
      ["content", "\(status.files) files in \(status.directories) directories, \(status.fileBytes)"],
      ["policy", "\(HumanText.count(status.replicas, "copy", "copies")) of each chunk of \(chunk)"],
      ["space", "\(status.capacity) raw, \(status.free) free, \(status.usable) usable for new files"],
      ["chunks", "\(status.chunks), taking \(status.stored) on all disks"],
      [
        "groups",
        "\(status.groups), of which \(status.groupsDegraded) lack copies, \(status.groupsUnreadable) cannot be read, "
          + "\(status.groupsUnwritable) cannot be written",
      ],
      ["copies", "\(status.chunksAtRisk) chunks may lack copies, \(status.badReplicas) bad ones reported"],
      ["work", "\(status.openUploads) uploads open, \(status.condemned) versions wait for deletion"],
    ])
  }

  private func table(_ nodes: [NodeStatus]) -> [String] {
    guard !nodes.isEmpty else { return ["no datanode has registered yet; start one with dfsd datanode"] }
    var rows = [["node", "address", "zone", "state", "chunks", "taken", "free", "seen"]]
    for node in nodes {
      var state = node.state.rawValue
      if !node.isWritable, node.state == .up { state += ", read only: \(HumanText.name(node.reason))" }
      rows.append([
        "\(node.id)", node.address, node.zone.isEmpty ? "-" : HumanText.name(node.zone), state,
        "\(node.chunks)",
        "\(node.stored)", "\(node.free)", "\(HumanText.duration(node.lastContact)) ago",
      ])
    }
    return HumanText.table(rows, right: [4, 5, 6])
  }

  private static func warnings(_ status: ClusterStatus) -> [String] {
    var warnings = status.warnings.map { HumanText.name($0) }
    if status.isSingleDisk, status.nodesUp > 1, !warnings.contains(where: { $0.contains("disk") }) {
      warnings.append(
        "all datanodes share one disk: copies protect against bad blocks, not against losing the disk")
    }
    return warnings
  }
}
