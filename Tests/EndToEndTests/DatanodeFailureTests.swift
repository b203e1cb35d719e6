import Foundation
import TestSupport
import Testing

@Suite struct `A datanode fails` {
  /// How one of three datanodes goes away.
  enum Failure: String, CaseIterable {
    case killed, paused
  }

  @Test(arguments: Failure.allCases)
  func `in the middle of a put, which succeeds without help`(_ failure: Failure) async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 100 << 20)
    let put = try cluster.startClient(["put", source, "/file"], log: "put.log")
    try await waitForChunks(cluster, onDatanode: 1)
    switch failure {
    case .killed: try await cluster.killDatanode(1)
    case .paused: await cluster.signalDatanode(1, SIGSTOP)
    }
    #expect(try await put.exit(within: .seconds(90)) == 0, "\(cluster.logs())")
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))
  }

  @Test func `paused for the whole of a test with three nodes: puts and gets go on`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let before = try files.make("before", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", before, "/before"]), cluster)
    await cluster.signalDatanode(2, SIGSTOP)
    for number in 0..<3 {
      let source = try files.make("source-\(number)", bytes: (9 << 20) + number)
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(number)"]), cluster)
      expectSuccess(
        try await cluster.dfsd(["get", "/file-\(number)", files.path("target-\(number)")]), cluster)
      try expectSameBytes(source, files.path("target-\(number)"))
    }
    expectSuccess(try await cluster.dfsd(["get", "/before", files.path("back")]), cluster)
    try expectSameBytes(before, files.path("back"))
  }

  @Test(arguments: Failure.allCases)
  func `in the middle of a get, which succeeds without help`(_ failure: Failure) async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 200 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    let get = try cluster.startClient(["get", "/file", files.path("target")], log: "get.log")
    try await Task.sleep(for: .milliseconds(150))
    switch failure {
    case .killed: try await cluster.killDatanode(0)
    case .paused: await cluster.signalDatanode(0, SIGSTOP)
    }
    #expect(try await get.exit(within: .seconds(60)) == 0, "\(cluster.logs())")
    try expectSameBytes(source, files.path("target"))
  }

  @Test func `and a second one: a put fails clearly with nothing visible, a get still succeeds`() async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    try await cluster.killDatanode(0)
    try await cluster.killDatanode(1)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))
    let put = try await cluster.dfsd(["put", source, "/other"], limit: .seconds(150))
    #expect(put.status == 8 && put.errors.contains("dfsd status"), "\(put.status): \(put.errors)")
    let listing = try await cluster.dfsd(["ls", "/"])
    expectSuccess(listing, cluster)
    #expect(!listing.output.contains("other"))
  }

  @Test func `a node that was killed comes back with its chunks and its name`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 9 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    try await cluster.killDatanode(2)
    try await cluster.startDatanode(2)
    try await cluster.waitForNodes(3)
    // Only the one that came back is left to read from.
    try await cluster.killDatanode(0)
    try await cluster.killDatanode(1)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))
  }
}

/// Waits until a datanode has published its first chunk, so that a put is certainly in its middle.
func waitForChunks(_ cluster: ProcessCluster, onDatanode number: Int) async throws {
  let end = ContinuousClock.now.advanced(by: .seconds(30))
  while chunkFiles(in: cluster.dataDirectory(ofDatanode: number)).isEmpty {
    guard ContinuousClock.now < end else {
      throw ProgramRun.TimedOut(description: "no chunk reached datanode \(number)\n\(cluster.logs())")
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}
