import Foundation
import TestSupport
import Testing

/// Commands that take several paths, or meet a reader that goes away.
@Suite struct `Commands among other commands` {
  @Test func `a tree is stored but for links, pipes and names that are not UTF-8, and says so`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let tree = files.path("tree")
    try FileManager.default.createDirectory(atPath: tree + "/sub", withIntermediateDirectories: true)
    let good = try files.make("tree/good", bytes: 5000)
    _ = try files.make("tree/sub/deep", bytes: 10)
    expectSuccess(try await cluster.dfsd(["put", "-r", tree, "/whole"]), cluster)
    symlink("good", tree + "/link")
    mkfifo(tree + "/pipe", 0o600)
    // One file and one directory, whose content can have no remote path either.
    for (name, isDirectory) in [([0x66, 0xFF] as [UInt8], false), ([0x64, 0xFE], true)] {
      let bytes = Array(tree.utf8) + [0x2F] + name + [0]
      let result = bytes.withUnsafeBufferPointer { path in
        path.withMemoryRebound(to: CChar.self) { path in
          guard let path = path.baseAddress else { return Int32(-1) }
          return isDirectory ? mkdir(path, 0o700) : mknod(path, S_IFREG | 0o600, 0)
        }
      }
      #expect(result == 0)
    }
    let put = try await cluster.dfsd(["put", "-r", tree, "/part"])
    #expect(put.status == 13, "\(put.errors)")
    #expect(put.errors.split(separator: "\n").count == 4, "\(put.errors)")
    for word in ["link", "pipe", "not UTF-8"] { #expect(put.errors.contains(word)) }
    let list = try await cluster.dfsd(["ls", "-r", "/part"])
    #expect(list.output == "good\nsub/\nsub/deep\n")
    let target = files.path("back")
    expectSuccess(try await cluster.dfsd(["get", "/part/good", target]), cluster)
    try expectSameBytes(good, target)

    // An error with one file is told, and the others are stored.
    expectSuccess(try await cluster.dfsd(["mkdir", "-p", "/error/tree/good"]), cluster)
    let some = try await cluster.dfsd(["put", "-r", tree + "/", "/error"])
    #expect(some.status == 5 && some.errors.contains("is a directory"), "\(some.errors)")
    let stored = try await cluster.dfsd(["ls", "-r", "/error"])
    #expect(stored.output.contains("sub/deep\n"), "\(stored.output)")
  }

  @Test func `ls goes on after an error, and says truthfully what has no copies of its own`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    expectSuccess(try await cluster.dfsd(["put", try files.make("small", bytes: 9), "/small"]), cluster)
    expectSuccess(try await cluster.dfsd(["put", try files.make("large", bytes: 90_000), "/large"]), cluster)
    let run = try await cluster.dfsd(["ls", "-l", "/none", "/small", "/nor-this", "/large"])
    #expect(run.status == 3)
    #expect(run.errors.split(separator: "\n").count == 2, "\(run.errors)")
    let lines = run.output.split(separator: "\n").map(String.init)
    #expect(lines.count == 4 && lines[0] == "/small:" && lines[2] == "/large:", "\(run.output)")
    #expect(lines.count == 4 && lines[1].contains(" meta ") && lines[3].contains(" 3× "), "\(run.output)")
  }

  @Test func `a reader that goes away ends cat without a word, as SIGPIPE does`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    expectSuccess(try await cluster.dfsd(["put", try files.make("f", bytes: 9 << 20), "/f"]), cluster)
    // Far more than a pipe holds, so the writer always meets its reader's end.
    let run = try await ProgramRun.run(
      "/bin/bash",
      ["-c", "\"$1\" cat /f | head -c 10 | wc -c; echo ${PIPESTATUS[0]}", "-", ProcessCluster.program],
      environment: ["DFS_COORDINATORS": cluster.coordinatorAddress])
    #expect(run.output.split(whereSeparator: \.isWhitespace) == ["10", "141"], "\(run.output)")
    #expect(run.errors.isEmpty)
  }
}
