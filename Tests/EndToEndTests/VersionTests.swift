import Foundation
import TestSupport
import Testing

@Suite struct `Versions of a file` {
  @Test func `an overwrite whose client dies half way changes nothing`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let old = try files.make("old", bytes: 9 << 20)
    let new = try files.make("new", bytes: 150 << 20)
    expectSuccess(try await cluster.dfsd(["put", old, "/file"]), cluster)
    let put = try cluster.startClient(["put", new, "/file"], log: "put.log")
    try await Task.sleep(for: .milliseconds(300))
    #expect(put.isRunning, "the put was over before it could be killed")
    put.signal(SIGKILL)
    _ = try await put.exit(within: .seconds(10))
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(old, files.path("target"))
  }

  @Test func `two clients that write one path leave one of the two versions, whole`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let one = try files.make("one", bytes: 30 << 20)
    let two = try files.make("two", bytes: 33 << 20)
    let first = try cluster.startClient(["put", one, "/file"], log: "one.log")
    let second = try cluster.startClient(["put", two, "/file"], log: "two.log")
    #expect(try await first.exit(within: .seconds(60)) == 0)
    #expect(try await second.exit(within: .seconds(60)) == 0)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    let target = try Data(contentsOf: URL(fileURLWithPath: files.path("target")))
    let versions = try [one, two].map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    #expect(versions.contains(target))
  }

  @Test func `a conditional write takes place only when its condition holds`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let one = try files.make("one", bytes: 100)
    let two = try files.make("two", bytes: 200)
    expectSuccess(try await cluster.dfsd(["put", "--if-absent", one, "/file"]), cluster)
    let again = try await cluster.dfsd(["put", "--if-absent", two, "/file"])
    #expect(again.status != 0)
    expectSuccess(try await cluster.dfsd(["get", "/file", files.path("target")]), cluster)
    try expectSameBytes(one, files.path("target"))
  }
}
