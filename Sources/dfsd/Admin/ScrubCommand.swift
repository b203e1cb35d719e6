import ArgumentParser
import DFSClient
import DFSCore

struct ScrubCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scrub",
    abstract: "Have the datanodes read every copy and verify it against its hashes, now.",
    discussion: """
      Examples:
        dfsd admin scrub                     on every datanode, returns at once
        dfsd admin scrub --node 3f2a --wait  on one, and says what it found
        dfsd admin jobs pace scrub 1000      ten times as fast as configured

      The datanodes do this all the time, within datanode.scrub_period; this only
      begins a new pass. A bad copy is set aside and repaired from a good one.

      Exit status with --wait: 0 when all are good, \(ExitStatus.atRisk.rawValue) when bad ones were found.
      """)

  @OptionGroup var client: ClientOptions
  @Option(help: ArgumentHelp("Only on this datanode.", discussion: "\(NodeName.help)", valueName: "node"))
  var node: NodeName?
  @Flag(help: "Wait until the pass is done.") var wait = false
  @Flag(help: "Print JSON.") var json = false

  /// The job that verifies.
  static let job = "scrub"

  private struct Output: Encodable {
    var nodes: [String]
    var silentNodes: [String]
    var done: Bool
    var badCopies: UInt64?
  }

  func run() async throws {
    let command = self
    try await client.withClient { client in
      var place = JobPlace.everywhere
      if let name = command.node { place = .datanode(try await name.find(client).id) }
      let before = try await client.nodes()
      let start = ContinuousClock.now
      let begun = try await client.controlJob(Self.job, .run, at: place)
      let nodes = begun.jobs.compactMap(\.node)
      let silent = begun.silentNodes.map(\.description)
      guard command.wait else { return try command.print(nodes, silent, bad: nil) }
      let after = try await Self.passes(on: Set(nodes), since: start, client)
      let bad = Self.quarantined(after, nodes) - min(Self.quarantined(before, nodes), Self.quarantined(after, nodes))
      try command.print(nodes, silent, bad: bad)
      if bad > 0 { throw ExitStatus.atRisk.exitCode }
    }
  }

  private static func quarantined(_ nodes: [NodeStatus], _ wanted: [NodeID]) -> UInt64 {
    nodes.filter { wanted.contains($0.id) }.reduce(0) { $0 + $1.quarantined }
  }

  /// Waits until each node has completed a pass that began after `start`.
  private static func passes(
    on wanted: Set<NodeID>, since start: ContinuousClock.Instant, _ client: DFSClient
  ) async throws -> [NodeStatus] {
    try await Waiting.until { line in
      let nodes = try await client.nodes()
      let open = nodes.filter { node in
        guard wanted.contains(node.id) else { return false }
        // What the node told was true at its last heartbeat. A small node may be done in a millisecond.
        guard let since = node.sinceScrub else { return true }
        return since + node.lastContact >= .now - start
      }
      for node in open where node.state == .out || node.state == .removed {
        throw DFSError(.unavailable, "node \(node.id) is \(node.state.rawValue) and will not complete its scrub")
      }
      guard !open.isEmpty else { return nodes }
      let part = open.reduce(0) { $0 + $1.scrubPart } / Double(open.count)
      line.show("scrubbing  \(HumanText.count(open.count, "node", "nodes")) left, \(Int(part * 100)) % of these done")
      return nil
    }
  }

  private func print(_ nodes: [NodeID], _ silent: [String], bad: UInt64?) throws {
    if json {
      return try JSONOutput.print(
        Output(nodes: nodes.map(\.description), silentNodes: silent, done: bad != nil, badCopies: bad))
    }
    let places = HumanText.count(nodes.count, "datanode", "datanodes")
    if !silent.isEmpty { Terminal.note("dfsd: silent: \(silent.joined(separator: ", "))") }
    switch bad {
    case nil: Terminal.print("\(places) verify their chunks; \"dfsd admin jobs\" shows how far they are")
    case 0: Terminal.print("every copy on \(places) is good")
    case let bad?:
      Terminal.print(
        "\(bad) bad \(bad == 1 ? "copy was" : "copies were") found on \(places) and set aside; they are repaired from "
          + "good ones")
    }
  }
}
