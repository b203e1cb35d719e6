import DFSClient
import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: isRoot, "tracing needs root")) struct `A trace of system calls` {
  @Test func `shows the syncs of every replica and of the metadata before the acknowledgement`() async throws
  {
    let traces = try TemporaryDirectory("dfs-traces")
    var settings = ProcessCluster.Settings()
    settings.wrapper = [
      "/usr/bin/strace", "-D", "-f", "-qq", "-ttt", "-y", "-e", "trace=fdatasync,fsync", "-o",
      traces.path + "/NAME",
    ]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 5 << 20)
    let begin = Date().timeIntervalSince1970
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    let acknowledged = Date().timeIntervalSince1970

    for number in 0..<3 {
      let syncs = try Sync.read(from: "\(traces.path)/datanode-\(number)").filter {
        begin...acknowledged ~= $0.time
      }
      let content = try #require(
        syncs.first { $0.path.contains("/incoming/") },
        "datanode \(number) did not sync the chunk's bytes: \(syncs)")
      let name = try #require(
        syncs.last { $0.path.contains("/chunks/") },
        "datanode \(number) did not sync the chunk's name: \(syncs)")
      #expect(content.time <= name.time, "the name was made durable before the bytes")
    }
    let metadata = try Sync.read(from: "\(traces.path)/coordinator").filter {
      begin...acknowledged ~= $0.time
    }
    #expect(metadata.contains { $0.path.hasSuffix(".log") }, "the metadata's log was not synced: \(metadata)")
  }

  /// Every sync takes so long that an answer which did not wait for one would come before.
  @Test func `shows no acknowledgement without a sync: small chunks and every change of a name`() async throws
  {
    let delay = Duration.milliseconds(200)
    var settings = ProcessCluster.Settings()
    settings.wrapper = [
      "/usr/bin/strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e",
      "inject=fdatasync,fsync:delay_enter=200000",
    ]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    let client = try DFSClient.connect(coordinators: [try Endpoint(cluster.coordinatorAddress)])
    func expectWait(_ what: String, _ change: () async throws -> Void) async throws {
      let begin = ContinuousClock.now
      try await change()
      #expect(begin.duration(to: .now) >= delay, "\(what) was acknowledged before it was durable")
    }
    let (directory, small) = (try RemotePath("/directory"), try RemotePath("/small"))
    let (inline, moved) = (try RemotePath("/inline"), try RemotePath("/directory/moved"))
    // The first operation also learns about the cluster.
    _ = try await client.stat(.root)
    try await expectWait("mkdir") { try await client.makeDirectory(directory) }
    try await expectWait("a small file") {
      try await client.upload(bytes: [UInt8](repeating: 1, count: 1000), to: inline)
    }
    try await expectWait("mv") { try await client.move(inline, to: moved) }
    try await expectWait("setting attributes") { try await client.setAttributes(of: moved, mode: 0o600) }
    // Two changes of the metadata, and between them the datanodes.
    let begin = ContinuousClock.now
    try await client.upload(bytes: [UInt8](repeating: 2, count: 100_000), to: small)
    #expect(begin.duration(to: .now) >= delay * 3, "a small chunk was acknowledged before it was durable")
    try await expectWait("rm") { try await client.remove(moved) }
    await client.close()
  }

  /// One sync that was begun at `time` and did not fail.
  private struct Sync {
    var time: TimeInterval
    var path: String

    static func read(from trace: String) throws -> [Sync] {
      try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n").compactMap { line in
        // 1234 1700000000.123456 fdatasync(17</data/incoming/1>) = 0
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count == 3, let time = TimeInterval(words[1]), !line.contains("= -1"),
          let start = line.firstIndex(of: "<"), let end = line[start...].firstIndex(of: ">"),
          words[2].hasPrefix("fdatasync(") || words[2].hasPrefix("fsync(")
        else { return nil }
        return Sync(time: time, path: String(line[line.index(after: start)..<end]))
      }
    }
  }
}
