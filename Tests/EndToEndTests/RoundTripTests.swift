import DFSCore
import Foundation
import TestSupport
import Testing

@Suite struct `Round trips through real processes` {
  @Test func `files of every kind of size come back byte for byte, also after a datanode died`() async throws
  {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let sizes = [
      0, 1, 4096, 4097, Block.size, 256 << 10, 256 << 10 | 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1,
      (40 << 20) + 12345,
    ]
    for size in sizes {
      let source = try files.make("source-\(size)", bytes: size)
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(size)"]), cluster)
    }
    try await cluster.killDatanode(1)
    for size in sizes {
      let target = files.path("target-\(size)")
      expectSuccess(try await cluster.dfsd(["get", "/file-\(size)", target]), cluster)
      try expectSameBytes(files.path("source-\(size)"), target)
    }
  }

  @Test func `three copies of every chunk lie on three nodes before put returns`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    expectSuccess(try await cluster.dfsd(["put", source, "/three"]), cluster)
    for number in 0..<3 {
      #expect(chunkFiles(in: cluster.dataDirectory(ofDatanode: number)).count == 3)
    }
  }

  @Test func `standard input of unknown length goes in and standard output gives it back`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 17 << 20)
    let input = try Data(contentsOf: URL(fileURLWithPath: source))
    expectSuccess(try await cluster.dfsd(["put", "-", "/stream"], input: input), cluster)
    let target = files.path("target")
    expectSuccess(try await cluster.dfsd(["cat", "/stream"], outputFile: target), cluster)
    try expectSameBytes(source, target)
  }

  @Test func `a directory goes in and out with its modes and times`() async throws {
    let cluster = try ProcessCluster()
    try await cluster.start()
    var files = try LocalFiles()
    let tree = files.path("tree")
    try FileManager.default.createDirectory(atPath: tree + "/a/b", withIntermediateDirectories: true)
    for (index, name) in ["tree/one", "tree/a/two", "tree/a/b/drei ö"].enumerated() {
      let path = try files.make(name, bytes: 1000 * (index * 300 + 1))
      try FileManager.default.setAttributes(
        [
          .posixPermissions: 0o640 + index,
          .modificationDate: Date(timeIntervalSince1970: 1_500_000_000 + Double(index)),
        ],
        ofItemAtPath: path)
    }
    expectSuccess(try await cluster.dfsd(["put", "-r", tree, "/tree"]), cluster)
    expectSuccess(try await cluster.dfsd(["get", "-r", "/tree", files.path("back")]), cluster)
    for (index, name) in ["one", "a/two", "a/b/drei ö"].enumerated() {
      try expectSameBytes("\(tree)/\(name)", "\(files.path("back"))/\(name)")
      let attributes = try FileManager.default.attributesOfItem(atPath: "\(files.path("back"))/\(name)")
      #expect(attributes[.posixPermissions] as? Int == 0o640 + index)
      #expect(
        (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 == 1_500_000_000 + Double(index))
    }
  }
}
