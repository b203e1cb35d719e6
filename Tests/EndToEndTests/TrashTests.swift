import Foundation
import TestSupport
import Testing

@Suite struct `What was removed or replaced` {
  /// The lines of a command that prints one JSON object each.
  private func objects(_ run: ProgramRun) throws -> [[String: Any]] {
    try run.output.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }

  private func trash(_ cluster: ProcessCluster, _ arguments: String...) async throws -> [[String: Any]] {
    let run = try await cluster.dfsd(["trash", "--json"] + arguments)
    expectSuccess(run, cluster)
    return try objects(run)
  }

  @Test func `comes back byte for byte, until it is purged; then its space does`() async throws {
    var settings = ProcessCluster.Settings()
    settings.coordinatorArguments = [
      "--set", "coordinator.reap_grace=1s", "--set", "coordinator.pin_lease=5s",
    ]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let (first, second) = (try files.make("first", bytes: 9 << 20), try files.make("second", bytes: 300_000))
    let small = try files.make("small", bytes: 100)
    let target = files.path("target")
    func get(_ path: String, _ source: String) async throws {
      expectSuccess(try await cluster.dfsd(["get", path, target]), cluster)
      try expectSameBytes(source, target)
    }

    expectSuccess(try await cluster.dfsd(["put", first, "/a"]), cluster)
    let removed = try await cluster.dfsd(["rm", "--json", "/a"])
    expectSuccess(removed, cluster)
    #expect(removed.errors.isEmpty, "a pipe is told nothing")
    let deletion = try #require(try objects(removed).first?["deletion"] as? String)
    #expect(try await trash(cluster).map { $0["deletion"] as? String } == [deletion])
    #expect(try await cluster.dfsd(["get", "/a", target]).status == 3)
    // Also after everything was killed.
    try await cluster.killAll()
    try await cluster.start()
    let undeleted = try await cluster.dfsd(["undelete", deletion])
    expectSuccess(undeleted, cluster)
    #expect(undeleted.output == "/a\n")
    try await get("/a", first)

    expectSuccess(try await cluster.dfsd(["put", second, "/a"]), cluster)
    expectSuccess(try await cluster.dfsd(["put", small, "/a"]), cluster)
    let versions = try await trash(cluster, "/a")
    #expect(versions.map { $0["cause"] as? String } == ["replaced", "replaced"])
    let ids = versions.compactMap { $0["deletion"] as? String }
    try #require(ids.count == 2)
    #expect(try await cluster.dfsd(["undelete", ids[0]]).status == 4, "its name is taken")
    expectSuccess(try await cluster.dfsd(["undelete", ids[0], "--to", "/a.first"]), cluster)
    expectSuccess(try await cluster.dfsd(["undelete", ids[1], "--to", "/a.second"]), cluster)
    try await get("/a", small)
    try await get("/a.first", first)
    try await get("/a.second", second)

    let several = try await cluster.dfsd(["rm", "/none", "/a", "/", "/a.second"])
    #expect(several.status == 3, "the first error's")
    #expect(several.errors.split(separator: "\n").count == 2, "\(several.errors)")
    #expect(try await trash(cluster).count == 2)
    #expect(try await cluster.dfsd(["trash", "--empty"]).status == 64, "nobody can be asked")
    expectSuccess(try await cluster.dfsd(["trash", "--empty", "--yes", "/a"]), cluster)
    #expect(try await trash(cluster).map { $0["path"] as? String } == ["/a.second"])
    expectSuccess(try await cluster.dfsd(["trash", "--empty", "--yes"]), cluster)
    #expect(try await trash(cluster).isEmpty)
    expectSuccess(try await cluster.dfsd(["rm", "--now", "/a.first"]), cluster)
    #expect(try await trash(cluster).isEmpty)
    let end = ContinuousClock.now.advanced(by: .seconds(60))
    func chunks() -> Int { (0..<3).reduce(0) { $0 + chunkFiles(in: cluster.dataDirectory(ofDatanode: $1)).count } }
    while chunks() > 0, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(300)) }
    #expect(chunks() == 0, "\(cluster.logs())")
    let status = try await cluster.status()
    #expect(status["files"] as? Int == 0)
  }
}
