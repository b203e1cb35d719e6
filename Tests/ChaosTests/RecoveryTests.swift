import DFSClient
import DFSCore
import Foundation
import TestSupport
import Testing

/// The only copy that a coordinator has itself is lost, and datanodes have others.
@Suite struct `A coordinator whose store is damaged` {
  @Test func `is rebuilt from its datanodes with everything that was acknowledged`() async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let cluster = try ProcessCluster()
    try ClientLog.write(to: cluster.directory.path + "/clients.log")
    try await cluster.start()
    let client = try await ChaosSite.connect(to: cluster, patience: .seconds(20))
    var contents: [String: Content] = [:]
    for (number, length) in [100, 5000, 300_000, 3 << 20, 40, 70_000].enumerated() {
      let content = Content(seed: random.next(), length: length)
      contents["/file-\(number)"] = content
      try await client.upload(bytes: content.bytes, to: try RemotePath("/file-\(number)"))
    }
    try await waitForCopies(client, cluster)
    try await cluster.killCoordinator()

    let store = DiskDamage(directory: cluster.coordinatorDirectory, random: random)
    let manifest = try #require(store.files(below: "metadata").last { $0.contains("/MANIFEST-") })
    try Data().write(to: URL(fileURLWithPath: manifest))
    try await cluster.startCoordinator()
    #expect(try await cluster.exitOfCoordinator(within: .seconds(30)) != 0, "it serves a damaged store")

    let nodes = cluster.datanodePorts.map { "127.0.0.1:\($0)" }.joined(separator: ",")
    let rebuilt = cluster.directory.path + "/rebuilt"
    let recovery = try await cluster.dfsd(["admin", "recover", "--from-datanodes", nodes, "--data", rebuilt])
    #expect(recovery.status == 0, "\(recovery.output)\(recovery.errors)\n\(cluster.logs())")
    try FileManager.default.moveItem(
      atPath: cluster.coordinatorDirectory, toPath: cluster.directory.path + "/damaged")
    try FileManager.default.moveItem(atPath: rebuilt, toPath: cluster.coordinatorDirectory)
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)

    for (path, content) in contents {
      #expect(Content(recognizing: try await client.read(try RemotePath(path))) == content, "\(path)")
    }
    // Nothing is deleted before a person has looked, but writing goes on.
    #expect(try await client.status().isHeld)
    let after = Content(seed: random.next(), length: 200_000)
    try await client.upload(bytes: after.bytes, to: try RemotePath("/after"))
    #expect(Content(recognizing: try await client.read(try RemotePath("/after"))) == after)
    await client.close()
    _ = try await cluster.stop()
  }

  /// Waits until two datanodes have every round.
  private func waitForCopies(_ client: DFSClient, _ cluster: ProcessCluster) async throws {
    let end = ContinuousClock.now.advanced(by: .seconds(60))
    while try await client.status().metadataCopies.count(where: { $0.isComplete && $0.lagRounds == 0 }) < 2 {
      guard ContinuousClock.now < end else {
        throw ProgramRun.TimedOut(description: "no two copies of the metadata\n\(cluster.logs())")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
