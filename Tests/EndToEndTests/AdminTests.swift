import Foundation
import TestSupport
import Testing

extension ProcessCluster {
  /// The object that a command prints with `--json`.
  fileprivate nonisolated func object(_ arguments: [String]) async throws -> [String: Any] {
    let run = try await dfsd(arguments + ["--json"])
    return try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any] ?? [:]
  }

  /// The ids of the datanodes by their ports.
  fileprivate nonisolated func nodeIDs() async throws -> [Int: String] {
    let nodes = try await object(["status"])["nodes"] as? [[String: Any]] ?? []
    return Dictionary(
      nodes.compactMap { node in
        guard let address = node["address"] as? String, let id = node["id"] as? String,
          let port = address.split(separator: ":").last.flatMap({ Int($0) })
        else { return nil }
        return (port, id)
      }, uniquingKeysWith: { first, _ in first })
  }
}

@Suite(.timeLimit(.minutes(3)))
struct `Looking after a cluster` {
  @Test func `nodes are named by id, prefix or address, and can-stop answers with its exit status`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    expectSuccess(try await cluster.dfsd(["put", files.make("file", bytes: 9 << 20), "/file"]), cluster)
    let ids = try await cluster.nodeIDs()
    let first = try #require(ids[cluster.datanodePorts[0]])
    let address = "127.0.0.1:\(cluster.datanodePorts[1])"
    expectSuccess(try await cluster.dfsd(["admin", "can-stop", String(first.prefix(15))]), cluster)
    let two = try await cluster.dfsd(["admin", "can-stop", first, address])
    #expect(two.status == 5 && two.output.hasPrefix("no: "), "\(two.output) \(two.errors)")
    #expect(try await cluster.dfsd(["admin", "can-stop", "nobody"]).status == 3)

    expectSuccess(try await cluster.dfsd(["admin", "maintenance", address]), cluster)
    let lines = try await cluster.dfsd(["admin", "nodes", "--json"]).output.split(separator: "\n")
    let states = try lines.map { line in
      try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
    }.map { $0["state"] as? String }
    #expect(states.count == 3 && states.count { $0 == "maintenance" } == 1, "\(lines)")
    expectSuccess(try await cluster.dfsd(["admin", "activate", address]), cluster)

    let refused = try await cluster.dfsd(["admin", "remove", first])
    #expect(refused.status == 5 && refused.errors.contains("--force"), "\(refused.errors)")
  }

  @Test func `jobs are listed from every process, paused and resumed`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    let list = try await cluster.object(["admin", "jobs"])
    let jobs = list["jobs"] as? [[String: Any]] ?? []
    #expect(Set(jobs.compactMap { $0["node"] as? String }).count == 4, "\(list)")
    #expect(jobs.allSatisfy { ($0["what"] as? String)?.isEmpty == false })
    #expect((list["silent_nodes"] as? [String])?.isEmpty == true)
    expectSuccess(try await cluster.dfsd(["admin", "jobs", "pause", "expire_uploads"]), cluster)
    let actions = try await cluster.object(["status"])["actions"] as? [String] ?? []
    #expect(actions.contains { $0.contains("dfsd admin jobs resume expire_uploads") }, "\(actions)")
    #expect(try await cluster.dfsd(["status", "--check"]).status == 12, "a person is needed")
    expectSuccess(try await cluster.dfsd(["admin", "jobs", "resume", "expire_uploads"]), cluster)
    #expect(try await cluster.dfsd(["admin", "jobs", "pause", "watch_nodes"]).status == 5)
    #expect(try await cluster.dfsd(["admin", "jobs", "run", "nothing"]).status == 3)
    #expect(try await cluster.dfsd(["admin", "jobs", "pace", "expire_uploads", "0"]).status == 64)
  }

  @Test func `a drained node is emptied, can be removed, and the files are all there`() async throws {
    let cluster = try ProcessCluster(ProcessCluster.Settings(datanodes: 4))
    try await cluster.start()
    var files = try LocalFiles()
    let file = try files.make("file", bytes: 40 << 20)
    expectSuccess(try await cluster.dfsd(["put", file, "/file"]), cluster)
    let address = "127.0.0.1:\(cluster.datanodePorts[0])"
    expectSuccess(try await cluster.dfsd(["admin", "drain", "--wait", address]), cluster)
    expectSuccess(try await cluster.dfsd(["admin", "remove", address]), cluster)
    try await cluster.killDatanode(0)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("back")]), cluster)
    try expectSameBytes(file, files.path("back"))
    let status = try await cluster.object(["status"])
    #expect(status["chunks_on_two_copies"] as? Int == 0 && status["safety"] as? String != "unreadable", "\(status)")
  }

  @Test func `fsck and scrub look at everything and find a healthy cluster well`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    expectSuccess(try await cluster.dfsd(["put", files.make("file", bytes: 20 << 20), "/file"]), cluster)
    let check = try await cluster.dfsd(["admin", "fsck", "--wait"])
    expectSuccess(check, cluster)
    #expect(check.output.hasPrefix("all is well"), "\(check.output)")
    let scrub = try await cluster.dfsd(["admin", "scrub", "--wait"])
    expectSuccess(scrub, cluster)
    #expect(scrub.output.contains("every copy on 3 datanodes is good"), "\(scrub.output)")
    let status = try await cluster.object(["status"])
    #expect(status["check"] != nil, "\(status)")
  }
}

@Suite(.timeLimit(.minutes(2)))
struct `Mistakes at the command line` {
  @Test func `health is that of the process that is asked`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    let datanode = "127.0.0.1:\(cluster.datanodePorts[0])"
    expectSuccess(try await cluster.dfsd(["health", datanode]), cluster)
    expectSuccess(try await cluster.dfsd(["health", cluster.coordinatorAddress]), cluster)
    expectSuccess(try await cluster.dfsd(["health", "--cluster"]), cluster)
    let own = [
      "DFS_COORDINATOR_LISTEN": "0.0.0.0:\(try freePorts(1)[0])", "DFS_DATANODE_LISTEN": datanode,
    ]
    expectSuccess(try await cluster.dfsd(["health"], environment: own), cluster)
    try await cluster.killDatanode(0)
    #expect(try await cluster.dfsd(["health"], environment: own).status == 8)
    expectSuccess(try await cluster.dfsd(["health", cluster.coordinatorAddress]), cluster)
  }

  @Test func `a taken port is told before a directory is made`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.startCoordinator()
    try await waitUntilHealthy(cluster)
    // A coordinator without datanodes serves, and yet nobody can store anything.
    let whole = try await cluster.dfsd(["health", "--cluster"])
    #expect(whole.status == 8 && whole.errors.contains("no datanode is up"), "\(whole.errors)")
    for role in ["coordinator", "datanode"] {
      let data = "\(cluster.directory.path)/second"
      let run = try await cluster.dfsd([role, "--listen", cluster.coordinatorAddress, "--data", data])
      #expect(run.status == 5 && run.errors.contains("another process listens there already"), "\(run.errors)")
      #expect(!run.errors.contains("errno"))
      #expect(!FileManager.default.fileExists(atPath: data))
    }
    let mode = try FileManager.default.attributesOfItem(atPath: cluster.coordinatorDirectory)[.posixPermissions]
    #expect(mode as? Int == 0o700)
  }

  @Test func `a name with a dash is not taken for a call for help`() async throws {
    let run = try await ProgramRun.run(ProcessCluster.program, ["put", "-dash", "/x"], environment: [:])
    #expect(run.status == 64 && run.output.isEmpty && run.errors.contains("dfsd put -- -dash"), "\(run.errors)")
  }

  private func waitUntilHealthy(_ cluster: ProcessCluster) async throws {
    for _ in 0..<200 {
      if try await cluster.dfsd(["health", cluster.coordinatorAddress]).status == 0 { return }
      try await Task.sleep(for: .milliseconds(100))
    }
    Issue.record("the coordinator does not serve: \(cluster.logs())")
  }
}
