import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct DirectoryTests {
  @Test(arguments: Engine.allCases)
  func `a new namespace has a root and nothing in it`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    #expect(try cluster.stat("/").kind == .directory)
    #expect(try cluster.stat("/").inode == .root)
    #expect(try cluster.names("/").isEmpty)
    #expect(await code { try cluster.stat("/a") } == .notFound)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `mkdir needs a parent and a free name`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    #expect(await code { try await cluster.mkdir("/a/b") } == .notFound)
    try await cluster.mkdir("/a")
    #expect(await code { try await cluster.mkdir("/a") } == .alreadyExists)
    #expect(await code { try await cluster.mkdir("/") } == .alreadyExists)
    try await cluster.put("/f", [1])
    #expect(await code { try await cluster.mkdir("/f/x") } == .failedPrecondition)
    #expect(try cluster.names("/") == ["a", "f"])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `mkdir with parents makes what is missing and is content with what is there`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    let first = try await cluster.mkdir("/a/b/c", .make)
    #expect(first.made == 3)
    let again = try await cluster.mkdir("/a/b/c", .make)
    #expect(again.made == 0 && again.inode == first.inode)
    #expect(try await cluster.mkdir("/", .make).inode == .root)
    try await cluster.put("/a/f")
    #expect(await code { try await cluster.mkdir("/a/f", .make) } == .alreadyExists)
    #expect(await code { try await cluster.mkdir("/a/f/g", .make) } == .failedPrecondition)
    #expect(try cluster.namespace.view().path(of: first.inode).description == "/a/b/c")
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a deep path is made in steps and found again`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let names = (0..<512).map { "d\($0)" }
    let deepest = "/" + names.joined(separator: "/")
    #expect(await code { try await cluster.mkdir(deepest, .make) } == .invalidArgument)
    for depth in stride(from: 40, through: 512, by: 40) {
      try await cluster.mkdir("/" + names.prefix(depth).joined(separator: "/"), .make)
    }
    try await cluster.mkdir(deepest, .make)
    #expect(try cluster.stat(deepest).kind == .directory)
    #expect(await code { try RemotePath(deepest + "/x") } == .invalidArgument)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a file and an empty directory are removed by name, a full directory only as a tree`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/a")
    try await cluster.put("/a/f", [1])
    #expect(await code { try await cluster.remove("/a") } == .failedPrecondition)
    #expect(await code { try await cluster.remove("/") } == .invalidArgument)
    #expect(await code { try await cluster.remove("/b") } == .notFound)
    #expect(try await cluster.remove("/a/f").kind == .file)
    #expect(try await cluster.remove("/a").kind == .directory)
    #expect(try cluster.names("/").isEmpty)
    try await cluster.mkdir("/a")
    try await cluster.put("/a/f", [1])
    try await cluster.remove("/a", .tree)
    #expect(await code { try cluster.stat("/a/f") } == .notFound)
    try await cluster.finish()
  }
}
