import Foundation
import TestSupport
import Testing

@Suite struct `Chunks vanish from disks` {
  @Test func `from one: fsck finds it and the others give it back; from all: fsck names it and deletes nothing`()
    async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    expectSuccess(try await cluster.dfsd(["put", source, "/other"]), cluster)
    expectSuccess(try await cluster.dfsd(["admin", "fsck", "--wait"]), cluster)

    let lost = try #require(chunkFiles(in: cluster.dataDirectory(ofDatanode: 1)).first)
    try FileManager.default.removeItem(atPath: lost)
    let found = try await check(cluster)
    #expect(found.status == ExitCode.atRisk && found.number("lacked_copies") == 1, "\(found)")
    #expect(found.number("missing_chunks") == 0 && found.number("orphans") == 0)
    var healed = found
    let end = ContinuousClock.now.advanced(by: .seconds(60))
    while healed.status != 0, ContinuousClock.now < end { healed = try await check(cluster) }
    #expect(healed.status == 0 && FileManager.default.fileExists(atPath: lost), "\(cluster.logs())")

    let name = try #require(lost.split(separator: "/").last)
    for number in 0..<3 {
      let copies = chunkFiles(in: cluster.dataDirectory(ofDatanode: number))
      for copy in copies where copy.hasSuffix("/\(name)") { try FileManager.default.removeItem(atPath: copy) }
    }
    let missing = try await check(cluster)
    #expect(missing.status == ExitCode.corrupt && missing.number("missing_chunks") == 1, "\(missing)")
    let status = try await cluster.dfsd(["status"])
    #expect(status.output.contains("no copy on any node"), "\(status.output)")
    // Both files are as they were, but for the chunk.
    expectSuccess(try await cluster.dfsd(["stat", "/file"]), cluster)
    expectSuccess(try await cluster.dfsd(["stat", "/other"]), cluster)
    #expect(chunkFiles(in: cluster.dataDirectory(ofDatanode: 0)).count == 5)
  }

  private struct Check: CustomStringConvertible {
    var status: Int32
    var description: String
    var check: [String: Any]
    func number(_ name: String) -> Int? { check[name] as? Int }
  }

  private func check(_ cluster: ProcessCluster) async throws -> Check {
    let run = try await cluster.dfsd(["admin", "fsck", "--wait", "--json"])
    let object = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    return Check(
      status: run.status, description: run.output + run.errors, check: object?["check"] as? [String: Any] ?? [:])
  }
}
