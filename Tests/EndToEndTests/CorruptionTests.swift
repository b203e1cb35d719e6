import Foundation
import TestSupport
import Testing

@Suite struct `Bytes rot on disk` {
  @Test func `in all copies but one: right bytes come out, bad copies are reported and counted`() async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    // Readers begin each chunk at another member, so three chunks meet every node, the two bad ones among them.
    for number in 0..<3 {
      let copies = chunkFiles(in: cluster.dataDirectory(ofDatanode: number))
      try #require(copies.count == 3)
      if number > 0 { for copy in copies { try flipByte(in: copy, at: 1_000_000) } }
    }
    for number in 0..<3 {
      expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target-\(number)")]), cluster)
      try expectSameBytes(source, files.path("target-\(number)"))
    }
    let end = ContinuousClock.now.advanced(by: .seconds(20))
    var bad = 0
    while bad == 0, ContinuousClock.now < end {
      let status = try await cluster.dfsd(["status", "--json"])
      let object = try JSONSerialization.jsonObject(with: Data(status.output.utf8)) as? [String: Any]
      bad = object?["bad_replicas"] as? Int ?? 0
      try await Task.sleep(for: .milliseconds(300))
    }
    #expect(bad >= 1, "\(cluster.logs())")
  }

  @Test func `in all copies: an error names file and chunk, and nothing lies under the final name`()
    async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/rotten"]), cluster)
    for number in 0..<3 {
      let copies = chunkFiles(in: cluster.dataDirectory(ofDatanode: number))
      try #require(copies.count == 3)
      try flipByte(in: copies[1], at: 2_000_000)
    }
    let run = try await cluster.dfsd(["get", "/rotten", files.path("target")])
    #expect(run.status == ExitCode.corrupt)
    #expect(run.errors.contains("/rotten"))
    #expect(run.errors.contains("chunk"))
    #expect(!FileManager.default.fileExists(atPath: files.path("target")))
  }

  @Test func `in one copy that nobody reads: a scrub finds it, and a good copy takes its place`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    expectSuccess(try await cluster.dfsd(["admin", "scrub", "--wait"]), cluster)
    let directory = cluster.dataDirectory(ofDatanode: 1)
    try flipByte(in: try #require(chunkFiles(in: directory).first), at: 1_000_000)
    let found = try await cluster.dfsd(["admin", "scrub", "--wait"])
    #expect(found.status == ExitCode.atRisk, "\(found.errors)")
    #expect(found.output.contains("1 bad copy was found"), "\(found.output)")
    let end = ContinuousClock.now.advanced(by: .seconds(30))
    while chunkFiles(in: directory).count < 3, ContinuousClock.now < end {
      try await Task.sleep(for: .milliseconds(200))
    }
    #expect(chunkFiles(in: directory).count == 3, "\(cluster.logs())")
    expectSuccess(try await cluster.dfsd(["admin", "scrub", "--wait"]), cluster)
  }
}
