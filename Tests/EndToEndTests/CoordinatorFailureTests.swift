import Foundation
import TestSupport
import Testing

@Suite struct `The coordinator fails` {
  @Test func `in the middle of a put, which waits and goes on when it is back`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 150 << 20)
    let put = try cluster.startClient(["put", source, "/file"], log: "put.log")
    try await waitForChunks(cluster, onDatanode: 0)
    try await cluster.killCoordinator()
    try await Task.sleep(for: .seconds(2))
    try await cluster.startCoordinator()
    #expect(try await put.exit(within: .seconds(100)) == 0, "\(cluster.logs())")
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))
  }

  @Test func `every process killed at the same moment: what was acknowledged is there afterwards`()
    async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    var acknowledged: [Int] = []
    for number in 0..<6 {
      let source = try files.make(
        "source-\(number)", bytes: [100, 5000, 300_000, 3 << 20, 9 << 20, 70_000][number])
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(number)"]), cluster)
      acknowledged.append(number)
    }
    let last = try files.make("last", bytes: 100 << 20)
    let put = try cluster.startClient(["put", last, "/last"], log: "put.log")
    try await Task.sleep(for: .milliseconds(300))
    try await cluster.killAll()
    try await cluster.start()
    for number in acknowledged {
      expectSuccess(
        try await cluster.dfsd(["get", "/file-\(number)", files.path("target-\(number)")]), cluster)
      try expectSameBytes(files.path("source-\(number)"), files.path("target-\(number)"))
    }
    let status = try await put.exit(within: .seconds(100))
    let get = try await cluster.dfsd(["get", "/last", files.path("last-target")])
    #expect(
      (status == 0) == (get.status == 0), "put said \(status), get said \(get.status)\n\(cluster.logs())")
    if get.status == 0 { try expectSameBytes(last, files.path("last-target")) }
  }

  @Test func `and stays away: a client gives up with a clear error`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    try await cluster.killCoordinator()
    let run = try await cluster.dfsd(["ls", "/"], limit: .seconds(90))
    #expect(run.status != 0)
    #expect(run.errors.contains(cluster.coordinatorAddress), "\(run.errors)")
  }

  @Test func `a datanode started before its coordinator joins by itself`() async throws {
    let cluster = try ProcessCluster()
    for number in 0..<3 { try await cluster.startDatanode(number) }
    try await Task.sleep(for: .seconds(1))
    try await cluster.startCoordinator()
    try await cluster.waitForNodes(3)
  }
}
