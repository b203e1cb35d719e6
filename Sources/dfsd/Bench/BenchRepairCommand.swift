import ArgumentParser
import DFSClient
import DFSCore
import Foundation

struct BenchRepairCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Measure how a cluster heals: one of its datanodes is killed.",
    discussion: """
      Starts a cluster of its own, fills it, kills a datanode with SIGKILL, and
      measures when that is noticed, what readers meet until then, when the first
      copy is made again, how fast copies are made while nobody else works, and what
      a foreground of reads and writes feels while it goes on. Removes everything
      afterwards.

      Examples:
        dfsd bench repair --directory /mnt/disk
        dfsd bench repair --set coordinator.out_after=0s --chunks 2000 --json
      """)

  @Option(
    help: ArgumentHelp("Where the cluster lies: choose the disk that matters.", valueName: "directory"),
    completion: .directory)
  var directory = FileManager.default.temporaryDirectory.path
  @Option(help: ArgumentHelp("Datanodes, the killed one included.", valueName: "number")) var datanodes = 4
  @Option(help: ArgumentHelp("Chunks to store, three copies of each.", valueName: "number")) var chunks =
    10_000
  @Option(help: ArgumentHelp("Their length: 64 KiB times a power of two.", valueName: "size")) var chunkSize =
    "512 KiB"
  @Option(help: ArgumentHelp("A setting of the coordinator, as often as needed.", valueName: "key=value"))
  var set: [String] = []
  @Flag(help: "Print JSON instead of the table.") var json = false

  func validate() throws {
    guard (4...16).contains(datanodes) else {
      throw ValidationError("--datanodes takes 4 to 16: three copies on three nodes have no place to be made again")
    }
    guard (100...1_000_000).contains(chunks) else { throw ValidationError("--chunks takes 100 to 1000000") }
  }

  func run() async throws {
    guard let bytes = ByteCount(chunkSize), let size = ChunkSize(bytes: bytes.int) else {
      throw ValidationError("--chunk-size takes 64 KiB times a power of two, up to 64 MiB")
    }
    let ceilings = try MachineCeilings(measuringIn: directory)
    let cluster = try BenchCluster(in: directory, datanodes: datanodes, settings: set)
    defer { cluster.stop() }
    let client = try DFSClient.connect(coordinators: [try Endpoint(cluster.address)])
    let bench = RepairBench(
      client: client, cluster: cluster, datanodes: datanodes, chunks: chunks, chunkSize: size, isQuiet: json)
    do {
      let report = try await bench.run(ceilings)
      if json { Terminal.print(try report.json()) } else { report.lines.forEach { Terminal.print($0) } }
    } catch {
      await client.close()
      throw cluster.failure ?? error
    }
    await client.close()
  }
}
