import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct FileTests {
  @Test(arguments: Engine.allCases)
  func `a small file lives in its inode and comes out with its attributes`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let put = try await cluster.put("/a.txt", [1, 2, 3])
    let status = try cluster.stat("/a.txt")
    #expect(status.inode == put.outcome.inode && status.revision == put.revision)
    #expect(status.size == ByteCount(3) && status.kind == .file && status.root == digest(1))
    #expect(status.attributes == cluster.attributes)
    #expect(try cluster.namespace.view().lookup(cluster.path("/a.txt")).contents == .inline([1, 2, 3]))
    try await cluster.put("/empty")
    #expect(try cluster.stat("/empty").size == .zero)
    #expect(
      await code { try await cluster.put("/big", Array(repeating: 1, count: 4097)) } == .invalidArgument)
    try await cluster.put("/full", Array(repeating: 1, count: 4096))
    #expect(await code { try await cluster.put("/") } == .failedPrecondition)
    #expect(await code { try await cluster.put("/none/x") } == .notFound)
    #expect(await code { try await cluster.put("/full/x") } == .failedPrecondition)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `preconditions are evaluated against the name as it is in the round`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let first = try await cluster.put("/f", [1], .ifAbsent)
    #expect(await code { try await cluster.put("/f", [2], .ifAbsent) } == .alreadyExists)
    let second = try await cluster.put("/f", [2], .ifRevision(first.revision))
    #expect(second.outcome.replaced == first.outcome.inode)
    #expect(
      await code { try await cluster.put("/f", [3], .ifRevision(first.revision)) } == .failedPrecondition)
    #expect(
      await code { try await cluster.put("/g", [3], .ifRevision(first.revision)) } == .failedPrecondition)
    #expect(try cluster.namespace.view().lookup(cluster.path("/f")).contents == .inline([2]))
    let stale = Remove(
      path: cluster.path("/f"), scope: .fileOrEmptyDirectory, precondition: .ifRevision(first.revision))
    #expect(await code { try await cluster.namespace.mutate(stale) } == .failedPrecondition)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an overwrite keeps one version visible and counts it once`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    for byte in 0..<10 { try await cluster.put("/f", [UInt8(byte), 0]) }
    let counts = cluster.namespace.counts
    #expect(counts.files == 1 && counts.bytes == ByteCount(2) && counts.directories == 1)
    #expect(try cluster.count("i") == 2)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a rename moves files and whole directories and refuses cycles`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/a/b/c", .make)
    try await cluster.put("/a/b/c/f", [7])
    let moved = try await cluster.rename("/a/b", "/z")
    #expect(moved.kind == .directory && moved.replaced == nil)
    #expect(try cluster.stat("/z/c/f").size == ByteCount(1))
    #expect(await code { try cluster.stat("/a/b") } == .notFound)
    #expect(try cluster.namespace.view().path(of: moved.inode).description == "/z")
    #expect(await code { try await cluster.rename("/z", "/z/c/d") } == .invalidArgument)
    #expect(await code { try await cluster.rename("/z", "/z/d") } == .invalidArgument)
    #expect(await code { try await cluster.rename("/", "/q") } == .invalidArgument)
    #expect(await code { try await cluster.rename("/z", "/") } == .invalidArgument)
    #expect(await code { try await cluster.rename("/none", "/q") } == .notFound)
    #expect(await code { try await cluster.rename("/z", "/none/q") } == .notFound)
    #expect(try await cluster.rename("/z", "/z").inode == moved.inode)
    #expect(try cluster.names("/") == ["a", "z"])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a rename replaces a file by a file and an empty directory by a directory, when asked`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.put("/f", [1])
    let old = try await cluster.put("/g", [2])
    #expect(await code { try await cluster.rename("/f", "/g") } == .alreadyExists)
    #expect(try await cluster.rename("/f", "/g", .replace).replaced == old.outcome.inode)
    #expect(try cluster.namespace.view().lookup(cluster.path("/g")).contents == .inline([1]))
    try await cluster.mkdir("/d")
    try await cluster.mkdir("/e/x", .make)
    #expect(await code { try await cluster.rename("/g", "/d", .replace) } == .failedPrecondition)
    #expect(await code { try await cluster.rename("/d", "/g", .replace) } == .failedPrecondition)
    #expect(await code { try await cluster.rename("/d", "/e", .replace) } == .failedPrecondition)
    try await cluster.rename("/e", "/d", .replace)
    #expect(try cluster.names("/") == ["d", "g"])
    #expect(try cluster.names("/d") == ["x"])
    #expect(cluster.namespace.counts.directories == 3)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `attributes change without the contents' revision`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let put = try await cluster.put("/f", [1])
    let change = SetAttributes(
      path: cluster.path("/f"), mode: 0o600, modified: FileTime(rawValue: -5), owner: "ann",
      user: ["k": [1, 2]])
    #expect(try await cluster.namespace.mutate(change).revision > put.revision)
    var status = try cluster.stat("/f")
    #expect(status.revision == put.revision)
    #expect(status.attributes.mode == 0o600 && status.attributes.modified.rawValue == -5)
    #expect(status.attributes.owner == "ann" && status.attributes.user == ["k": [1, 2]])
    // Nothing to change is no change.
    #expect(try await cluster.namespace.mutate(change).revision == cluster.revision)
    try await cluster.namespace.mutate(SetAttributes(path: cluster.path("/f"), user: ["k": nil]))
    status = try cluster.stat("/f")
    #expect(status.attributes.user.isEmpty && status.attributes.owner == "ann")
    for bad in [
      SetAttributes(path: cluster.path("/f"), mode: 0o10000),
      SetAttributes(path: cluster.path("/f"), owner: String(repeating: "x", count: 256)),
      SetAttributes(
        path: cluster.path("/f"), user: ["big": Array(repeating: 0, count: Limits.userAttributeBytes)]),
      SetAttributes(
        path: cluster.path("/f"),
        user: Dictionary(uniqueKeysWithValues: (0...Limits.userAttributes).map { ("\($0)", [1]) })),
      SetAttributes(path: cluster.path("/"), policy: PlacementPolicy(replicas: 6)),
    ] { #expect(await code { try await cluster.namespace.mutate(bad) } == .invalidArgument) }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a policy is inherited by what is made beneath a directory`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/d")
    let one = PlacementPolicy(replicas: 1)
    try await cluster.namespace.mutate(SetAttributes(path: cluster.path("/d"), policy: one))
    try await cluster.mkdir("/d/e")
    try await cluster.put("/d/e/f", [1])
    #expect(try cluster.stat("/d/e").policy == one && cluster.stat("/d/e/f").policy == one)
    #expect(try cluster.namespace.view().target(cluster.path("/d/e/new")).policy == one)
    #expect(try cluster.stat("/").policy == .standard)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a time of zero is the round's, so that a retry has the same arguments`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let put = PutInline(
      target: cluster.path("/f"), attributes: FileAttributes(mode: 0o600, modified: FileTime(rawValue: 0)),
      bytes: [1], root: digest(1))
    let id = RequestID(seen: cluster.revision, high: 1, low: 1)
    try await cluster.namespace.mutate(put, id: id)
    #expect(try await cluster.namespace.mutate(put, id: id).isReplay)
    #expect(try cluster.stat("/f").attributes.modified == TestCluster.start)
    try await cluster.finish()
  }
}
