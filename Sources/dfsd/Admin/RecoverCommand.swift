import ArgumentParser
import DFSConfig
import DFSCoordinator
import DFSCore
import DFSObservability
import DFSTransport
import Foundation
import Logging

struct RecoverCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recover",
    abstract: "Rebuild a lost coordinator from the copies of its metadata on datanodes.",
    discussion: """
      Stop the old coordinator first. Name all datanodes: the newest copy is taken,
      and what any of them has seen beyond it is told. Look before you write:
        dfsd admin recover --from-datanodes a:7401,b:7401,c:7401 --dry-run
        dfsd admin recover --from-datanodes a:7401,b:7401,c:7401 --data /data/new
      """)

  @Option(help: ArgumentHelp("The addresses of the datanodes.", valueName: "host:port,…")) var fromDatanodes:
    String
  @Option(
    help: ArgumentHelp("The directory to make, new or empty.", valueName: "directory"), completion: .directory)
  var data: String?
  @Flag(help: "Read the best copy and tell what it holds; write nothing.") var dryRun = false
  @Option(
    help: ArgumentHelp("The configuration file; else DFS_CONFIG.", valueName: "file"), completion: .file())
  var config: String?
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    guard dryRun || data != nil else {
      throw ValidationError("Say where the rebuilt directory goes with --data, or only look with --dry-run.")
    }
  }

  func run() async throws {
    let nodes = try fromDatanodes.split(separator: ",").map { try Endpoint(String($0), defaultPort: 7401) }
    guard !nodes.isEmpty else { throw DFSError(.invalidArgument, "--from-datanodes names no datanode") }
    let settings = try Settings.load(for: .client, from: .process(flags: [:], configuration: config))
    let level = ProcessInfo.processInfo.environment["LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0) }
    LogSystem.start(level: level ?? .critical) { nil }
    let loops = settings.makeLoops()
    let disk = BlockingThreads(count: 2, name: "dfs-recover")
    let recovery = MetadataRecovery(
      nodes: nodes, channel: try settings.channelConfiguration(), loops: loops, disk: disk,
      logger: Logger(label: "dfs.recover"))
    do {
      try await recover(recovery)
    } catch {
      disk.shutdown()
      await loops.shutdown()
      throw error
    }
    disk.shutdown()
    await loops.shutdown()
  }

  private func recover(_ recovery: MetadataRecovery) async throws {
    let (findings, silent) = await recovery.survey()
    if !json { table(findings, silent).forEach { Terminal.print($0) } }
    guard !findings.isEmpty else {
      throw DFSError(.unavailable, "none of the datanodes answers", cause: silent.first?.error)
    }
    let plan = try RecoveryPlan(findings)
    let outcome: MetadataRecovery.Outcome
    if let data, !dryRun {
      outcome = try await recovery.restore(plan, into: data)
    } else {
      outcome = try await recovery.look(plan)
    }
    var warnings = outcome.warnings
    warnings += silent.map { "\($0.node) did not answer: what it has, or has seen, is not known" }
    if json { return try JSONOutput.print(Output(findings, silent, outcome, warnings, dryRun ? nil : data)) }
    report(outcome, warnings).forEach { Terminal.print($0) }
  }

  private func table(
    _ findings: [RecoveryPlan.Finding], _ silent: [(node: Endpoint, error: DFSError)]
  ) -> [String] {
    var rows = [["datanode", "address", "copy at round", "epoch", "has seen revision", "of epoch"]]
    for finding in findings {
      rows.append([
        "\(finding.node)", "\(finding.address)", finding.mark.map { "\($0.round)" } ?? "no copy",
        finding.mark == nil ? "-" : "\(finding.epoch)", "\(finding.seen.revision)", "\(finding.seen.epoch)",
      ])
    }
    for (node, error) in silent { rows.append(["?", "\(node)", "no answer: \(error)"]) }
    return HumanText.table(rows, right: [])
  }

  private func report(_ outcome: MetadataRecovery.Outcome, _ warnings: [String]) -> [String] {
    let counts = outcome.counts
    var lines = [
      "",
      "The copy on node \(outcome.source.node) is the best: cluster \(outcome.cluster), round \(outcome.mark.round), "
        + "revision \(outcome.revision),",
      "\(HumanText.count(Int(counts.files), "file", "files")) in "
        + "\(HumanText.count(Int(counts.directories), "directory", "directories")), \(counts.bytes).",
    ]
    lines += warnings.map { "! " + $0 }
    guard let data, outcome.incarnation != nil else {
      return lines + ["", "Nothing was written. Rebuild the coordinator with --data DIRECTORY."]
    }
    return lines + [
      "",
      "\(data) is the coordinator's new directory. Everything in it was verified. Next:",
      "  1. dfsd coordinator --data \(data)     with the same address as before, so that the datanodes find it",
      "  2. dfsd admin fsck                     compares every chunk with the restored names",
      "  3. dfsd admin release                  until then nothing is deleted from any disk",
    ]
  }
}

extension RecoverCommand {
  /// What `--json` prints.
  struct Output: Encodable {
    struct Node: Encodable {
      var address: String
      var node: String?
      var round: UInt64?
      var epoch: String?
      var seenRevision: UInt64?
      var seenEpoch: String?
      var error: String?
    }
    var nodes: [Node]
    var source: String
    var cluster: String
    var round: UInt64
    var revision: UInt64
    var files: UInt64
    var directories: UInt64
    var bytes: Int64
    var incarnation: UInt16?
    var data: String?
    var warnings: [String]

    init(
      _ findings: [RecoveryPlan.Finding], _ silent: [(node: Endpoint, error: DFSError)],
      _ outcome: MetadataRecovery.Outcome, _ warnings: [String], _ data: String?
    ) {
      nodes =
        findings.map {
          Node(
            address: "\($0.address)", node: "\($0.node)", round: $0.mark?.round,
            epoch: $0.mark == nil ? nil : "\($0.epoch)", seenRevision: $0.seen.revision.rawValue,
            seenEpoch: "\($0.seen.epoch)")
        } + silent.map { Node(address: "\($0.node)", error: "\($0.error)") }
      source = "\(outcome.source.node)"
      cluster = "\(outcome.cluster)"
      round = outcome.mark.round
      revision = outcome.revision.rawValue
      files = outcome.counts.files
      directories = outcome.counts.directories
      bytes = outcome.counts.bytes.rawValue
      incarnation = outcome.incarnation
      self.data = data
      self.warnings = warnings
    }
  }
}
