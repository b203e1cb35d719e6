import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: isRoot, "network namespaces need root")) struct `The network is cut` {
  /// The user that the datanode to be cut off runs as.
  private static let user = 54321

  private func isolatedCluster() throws -> ProcessCluster {
    var settings = ProcessCluster.Settings()
    settings.isolated = true
    settings.datanodeWrappers[1] = [
      "/usr/bin/setpriv", "--reuid", "\(Self.user)", "--regid", "\(Self.user)", "--clear-groups",
    ]
    let cluster = try ProcessCluster(settings)
    let directory = cluster.dataDirectory(ofDatanode: 1)
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try FileManager.default.setAttributes([.ownerAccountID: Self.user], ofItemAtPath: directory)
    return cluster
  }

  @Test func `between one datanode and everybody, in the middle of a put: it succeeds without help`()
    async throws
  {
    let cluster = try isolatedCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 100 << 20)
    let put = try cluster.startClient(["put", source, "/file"], log: "put.log")
    try await waitForChunks(cluster, onDatanode: 1)
    try await cluster.cutOff(user: Self.user)
    #expect(try await put.exit(within: .seconds(90)) == 0, "\(cluster.logs())")
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))

    try await cluster.cutOff(user: nil)
    try await cluster.waitForNodes(3)
  }

  @Test func `between one datanode and everybody, before a get: it succeeds without help`() async throws {
    let cluster = try isolatedCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 60 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/file"]), cluster)
    try await cluster.cutOff(user: Self.user)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(source, files.path("target"))
  }
}
