import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct BenchRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Measure what clients meet: wall time, CPU of every process, rates, latencies, memory.",
    discussion: """
      Without --coordinators it starts a cluster of its own (one coordinator, three
      datanodes, each a process), and removes it afterwards. With --coordinators it
      measures a running one; of that, only the processes on this machine are
      counted. The machine's own limits are measured in the same run.

      Examples:
        dfsd bench
        dfsd bench --directory /mnt/disk --json > figures.json
        dfsd bench --only "4 KiB" --divide 10
        dfsd bench --coordinators 127.0.0.1:7400
      """)

  @Option(
    help: ArgumentHelp("Measure this running cluster.", valueName: "host:port,…"))
  var coordinators: String?
  @Option(
    help: ArgumentHelp(
      "Where the cluster of its own and the source file lie: choose the disk that matters.",
      valueName: "directory"),
    completion: .directory)
  var directory = FileManager.default.temporaryDirectory.path
  @Option(help: ArgumentHelp("Datanodes of its own cluster.", valueName: "number")) var datanodes = 3
  @Option(help: ArgumentHelp("Only cases whose name contains this.", valueName: "text")) var only: String?
  @Option(help: ArgumentHelp("Divide sizes and counts, for a quick look.", valueName: "number")) var divide =
    1
  @Flag(help: "Print JSON instead of the table.") var json = false

  func validate() throws {
    guard (1...100).contains(divide) else { throw ValidationError("--divide takes 1 to 100") }
    guard (1...16).contains(datanodes) else { throw ValidationError("--datanodes takes 1 to 16") }
  }

  func run() async throws {
    let ceilings = try MachineCeilings(measuringIn: directory)
    guard coordinators == nil else {
      return try await measure(
        addresses: try endpoints(), processes: BenchCluster.localProcesses(), cluster: coordinators ?? "",
        ceilings: ceilings)
    }
    let cluster = try BenchCluster(in: directory, datanodes: datanodes)
    defer { cluster.stop() }
    do {
      try await measure(
        addresses: [try Endpoint(cluster.address)], processes: cluster.processes,
        cluster: "1 coordinator, \(datanodes) datanodes in \(directory)", ceilings: ceilings)
    } catch {
      throw cluster.failure ?? error
    }
  }

  private func endpoints() throws -> [Endpoint] {
    try (coordinators ?? "").split(separator: ",").map { try Endpoint($0, defaultPort: 7400) }
  }

  private func measure(
    addresses: [Endpoint], processes: [MeasuredProcess], cluster: String, ceilings: MachineCeilings
  ) async throws {
    let client = try DFSClient.connect(coordinators: addresses)
    let suite = BenchSuite(
      client: client, meter: BenchMeter(processes: processes), ceilings: ceilings,
      root: try RemotePath("/dfs-bench-\(ProcessInfo.processInfo.processIdentifier)"), scratch: directory,
      divisor: divide)
    var report = BenchReport(version: Version.current, cluster: cluster, ceilings: ceilings)
    if !json {
      report.ceilingLines.forEach { Terminal.print($0) }
      Terminal.print(BenchReport.header)
    }
    do {
      try await waitForNodes(client)
      try await suite.run(filter: only) { result in
        report.results.append(result)
        if !json { Terminal.print(BenchReport.line(result)) }
      }
    } catch {
      await client.close()
      throw error
    }
    await client.close()
    if json { Terminal.print(try report.json()) }
  }

  /// A cluster that was just started takes writes when its datanodes have registered.
  private func waitForNodes(_ client: DFSClient) async throws {
    let wanted = coordinators == nil ? datanodes : 1
    let end = ContinuousClock.now.advanced(by: .seconds(30))
    while try await client.status().nodesUp < wanted {
      guard ContinuousClock.now < end else {
        throw DFSError(.unavailable, "the cluster has not got \(wanted) datanodes after 30 s")
      }
      try await Task.sleep(for: .milliseconds(100))
    }
  }
}
