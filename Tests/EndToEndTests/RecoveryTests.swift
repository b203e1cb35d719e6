import DFSClient
import Foundation
import TestSupport
import Testing

/// The coordinator's disk is lost, or damaged, and the datanodes give its metadata back.
@Suite(.serialized, .timeLimit(.minutes(4))) struct `The coordinator's metadata` {
  private static let advice = "dfsd admin recover --from-datanodes"

  private func settings() -> ProcessCluster.Settings {
    var settings = ProcessCluster.Settings()
    settings.datanodeArguments = ["--set", "datanode.reserve=16MiB"]
    return settings
  }

  private func addresses(_ cluster: ProcessCluster) -> String {
    cluster.datanodePorts.map { "127.0.0.1:\($0)" }.joined(separator: ",")
  }

  /// Waits until two copies have everything; returns the last round.
  @discardableResult
  private func waitForCopies(_ cluster: ProcessCluster) async throws -> Int {
    for _ in 0..<150 {
      let copies = try await cluster.status()["metadata_copies"] as? [[String: Any]] ?? []
      let ready = copies.filter { $0["complete"] as? Bool == true && $0["lag_rounds"] as? Int == 0 }
      if ready.count == 2 { return ready.compactMap { $0["round"] as? Int }.max() ?? 0 }
      try await Task.sleep(for: .milliseconds(200))
    }
    throw ProgramRun.TimedOut(description: "no two copies of the metadata:\n\(cluster.logs())")
  }

  /// Puts files of all kinds and returns their local and remote paths.
  private func fill(_ cluster: ProcessCluster, _ files: inout LocalFiles, _ name: String) async throws -> [
    (local: String, remote: String)
  ] {
    var stored: [(local: String, remote: String)] = []
    for (number, length) in [0, 900, 5000, 300_000, 9 << 20].enumerated() {
      let local = try files.make("\(name)-\(number)", bytes: length)
      expectSuccess(try await cluster.dfsd(["put", local, "/\(name)-\(number)"]), cluster)
      stored.append((local, "/\(name)-\(number)"))
    }
    return stored
  }

  private func expectAll(
    _ stored: [(local: String, remote: String)], _ cluster: ProcessCluster, _ files: LocalFiles
  ) async throws {
    let target = files.path("target")
    for (local, remote) in stored {
      try? FileManager.default.removeItem(atPath: target)
      expectSuccess(try await cluster.dfsd(["get", remote, target]), cluster)
      try expectSameBytes(local, target)
    }
  }

  private func object(_ run: ProgramRun) throws -> [String: Any] {
    try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any] ?? [:]
  }

  @Test func `is lost with its disk and rebuilt from the datanodes; deletion waits for a person`() async throws {
    let cluster = try ProcessCluster(settings())
    try await cluster.start()
    var files = try LocalFiles()
    let stored = try await fill(cluster, &files, "kept")
    let removed = try files.make("removed", bytes: 2 << 20)
    expectSuccess(try await cluster.dfsd(["put", removed, "/removed"]), cluster)
    expectSuccess(try await cluster.dfsd(["mkdir", "-p", "/a/b"]), cluster)
    try await waitForCopies(cluster)
    let inode = try object(try await cluster.dfsd(["stat", "--json", "/kept-4"]))["inode"] as? String
    try await cluster.killCoordinator()
    try FileManager.default.removeItem(atPath: cluster.coordinatorDirectory)

    // A look writes nothing; a directory that holds something is refused.
    let look = try await cluster.dfsd(
      ["admin", "recover", "--from-datanodes", addresses(cluster), "--dry-run", "--json"])
    expectSuccess(look, cluster)
    #expect(try object(look)["files"] as? Int == 6)
    #expect(!FileManager.default.fileExists(atPath: cluster.coordinatorDirectory))
    let refused = try await cluster.dfsd(
      ["admin", "recover", "--from-datanodes", addresses(cluster), "--data", files.directory.path])
    #expect(refused.status == ExitCode.failedPrecondition, "\(refused.errors)")

    let recovery = try await cluster.dfsd(
      [
        "admin", "recover", "--from-datanodes", addresses(cluster), "--data", cluster.coordinatorDirectory,
        "--json",
      ])
    expectSuccess(recovery, cluster)
    #expect(try object(recovery)["incarnation"] as? Int == 2)
    #expect((try object(recovery)["warnings"] as? [String])?.isEmpty == true, "\(recovery.output)")

    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    try await expectAll(stored, cluster, files)
    expectSuccess(try await cluster.dfsd(["ls", "/a/b"]), cluster)
    #expect(try await cluster.status()["held"] as? Bool == true)

    // New writes work, and their ids are those of another incarnation.
    let new = try await fill(cluster, &files, "new")
    try await expectAll(stored + new, cluster, files)
    let newInode = try object(try await cluster.dfsd(["stat", "--json", "/new-4"]))["inode"] as? String
    if let inode, let newInode { #expect(inode != newInode) }

    // Released only after a check, unless forced.
    let early = try await cluster.dfsd(["admin", "release"])
    #expect(early.status == ExitCode.failedPrecondition, "\(early.errors)")
    expectSuccess(try await cluster.dfsd(["admin", "fsck", "--wait"]), cluster)
    expectSuccess(try await cluster.dfsd(["admin", "release"]), cluster)
    #expect(try await cluster.status()["held"] as? Bool == false)

    // The copies go on with the new history, and survive the next loss.
    try await waitForCopies(cluster)
    try await cluster.killCoordinator()
    try FileManager.default.removeItem(atPath: cluster.coordinatorDirectory)
    let second = try await cluster.dfsd(
      [
        "admin", "recover", "--from-datanodes", addresses(cluster), "--data", cluster.coordinatorDirectory,
        "--json",
      ])
    #expect(try object(second)["incarnation"] as? Int == 3)
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    try await expectAll(stored + new, cluster, files)
  }

  @Test func `is damaged on its disk: the start is refused, and the datanodes have it`() async throws {
    let cluster = try ProcessCluster(settings())
    try await cluster.start()
    var files = try LocalFiles()
    let stored = try await fill(cluster, &files, "kept")
    try await waitForCopies(cluster)
    // A start writes what the log has into a table.
    try await cluster.killCoordinator()
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    try await waitForCopies(cluster)
    try await cluster.killCoordinator()
    let database = cluster.coordinatorDirectory + "/metadata"
    let table = try #require(
      try FileManager.default.contentsOfDirectory(atPath: database).first { $0.hasSuffix(".sst") })
    let length = try FileManager.default.attributesOfItem(atPath: "\(database)/\(table)")[.size] as? UInt64
    try flipByte(in: "\(database)/\(table)", at: (length ?? 0) / 3)

    try await cluster.startCoordinator()
    #expect(try await cluster.exitOfCoordinator(within: .seconds(30)) == ExitCode.corrupt)
    let log = try String(contentsOfFile: "\(cluster.directory.path)/coordinator.log", encoding: .utf8)
    #expect(log.contains(Self.advice), "\(log)")

    let damaged = cluster.coordinatorDirectory + ".damaged"
    try FileManager.default.moveItem(atPath: cluster.coordinatorDirectory, toPath: damaged)
    expectSuccess(
      try await cluster.dfsd(
        ["admin", "recover", "--from-datanodes", addresses(cluster), "--data", cluster.coordinatorDirectory]),
      cluster)
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    try await expectAll(stored, cluster, files)
  }

  @Test func `of an older day is refused by the datanodes: a coordinator that went back in time`() async throws {
    let cluster = try ProcessCluster(settings())
    try await cluster.start()
    var files = try LocalFiles()
    _ = try await fill(cluster, &files, "old")
    _ = try await cluster.stopCoordinator()
    let old = cluster.coordinatorDirectory + ".old"
    try FileManager.default.copyItem(atPath: cluster.coordinatorDirectory, toPath: old)
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    let later = try await fill(cluster, &files, "later")
    try await waitForCopies(cluster)
    // The nodes hear of the revision with their heartbeats.
    try await Task.sleep(for: .seconds(2))
    try await cluster.killCoordinator()

    try FileManager.default.removeItem(atPath: cluster.coordinatorDirectory)
    try FileManager.default.copyItem(atPath: old, toPath: cluster.coordinatorDirectory)
    try await cluster.startCoordinator()
    var log = ""
    for _ in 0..<100 where !log.contains("went back in time") {
      try await Task.sleep(for: .milliseconds(200))
      log = try String(contentsOfFile: "\(cluster.directory.path)/coordinator.log", encoding: .utf8)
    }
    #expect(log.contains("went back in time"), "\(cluster.logs())")
    // Their leases of the coordinator before are over.
    try await Task.sleep(for: .seconds(6))
    let put = try await cluster.dfsd(["put", "--timeout", "8s", later[4].local, "/never"], limit: .seconds(90))
    #expect(put.status != 0, "nodes of a better memory take writes")

    // The copies on the datanodes are newer, and bring everything back.
    try await cluster.killCoordinator()
    try FileManager.default.removeItem(atPath: cluster.coordinatorDirectory)
    expectSuccess(
      try await cluster.dfsd(
        ["admin", "recover", "--from-datanodes", addresses(cluster), "--data", cluster.coordinatorDirectory]),
      cluster)
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
    try await expectAll(later, cluster, files)
  }
}
