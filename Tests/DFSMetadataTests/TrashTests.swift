import DFSCore
import DFSKeyValue
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct TrashTests {
  private func makeCluster(_ engine: Engine) async throws -> TestCluster {
    let cluster = try TestCluster(engine) { $0.trashRetention = .seconds(24 * 3600) }
    try await cluster.form()
    return cluster
  }

  private func inline(_ cluster: TestCluster, _ path: String) throws -> [UInt8]? {
    guard case .inline(let bytes) = try cluster.namespace.view().lookup(cluster.path(path)).contents else {
      return nil
    }
    return bytes
  }

  @Test(arguments: Engine.allCases)
  func `a removed file is in the trash and comes back as the same version`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/d")
    let inode = try await cluster.upload("/d/f", chunks: 3)
    let before = cluster.namespace.counts
    cluster.clock.advance(by: .seconds(10))
    let deletion = try #require(try await cluster.remove("/d/f").deletion)
    #expect(await code { try cluster.stat("/d/f") } == .notFound)
    #expect(cluster.namespace.counts.files == 0 && cluster.namespace.counts.trash == 1)
    #expect(cluster.namespace.counts.chunks == 0 && cluster.namespace.counts.bytes == .zero)
    let entry = try #require(try cluster.trash().first)
    #expect(entry.deletion == deletion && entry.path == cluster.path("/d/f") && entry.inode == inode)
    #expect(entry.kind == .file && entry.cause == .removed)
    #expect(entry.length == ByteCount(3 * smallChunks.bytes))
    #expect(entry.deleted == cluster.namespace.time)
    #expect(entry.expires == cluster.namespace.time + .seconds(24 * 3600))
    // Alive and whole for whoever copies, sweeps or still reads it.
    #expect(try cluster.count("k") == 3)
    #expect(try cluster.namespace.view().manifest(inode, page: 0).chunks.count == 3)
    cluster.clock.advance(by: .seconds(3600))
    #expect(try cluster.namespace.nextCondemned() == nil && cluster.namespace.expiredTrash(limit: 9) == [])

    let back = try await cluster.undelete(deletion)
    #expect(back.inode == inode && back.path == cluster.path("/d/f") && back.kind == .file)
    let status = try cluster.stat("/d/f")
    #expect(status.inode == inode && status.revision == cluster.revision)
    #expect(cluster.namespace.counts == before)
    #expect(try cluster.trash().isEmpty && cluster.count("t") == 0)
    #expect(await code { try await cluster.undelete(deletion) } == .notFound)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `what a write, a commit or a rename replaces is in the trash, empty and small files too`(
    engine: Engine
  ) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/d/e", .make)
    try await cluster.put("/d/e/f")
    try await cluster.put("/d/e/f", [1])
    try await cluster.upload("/d/e/f", chunks: 1)
    try await cluster.upload("/d/e/f", chunks: 2)
    try await cluster.put("/g", [2])
    try await cluster.rename("/g", "/d/e/f", .replace)
    let entries = try cluster.trash()
    #expect(entries.map(\.length.int) == [0, 1, smallChunks.bytes, 2 * smallChunks.bytes])
    #expect(entries.allSatisfy { $0.cause == .replaced && $0.path == cluster.path("/d/e/f") })
    #expect(cluster.namespace.counts.files == 1 && cluster.namespace.counts.trash == 4)
    // Its place is taken, so it needs another one.
    #expect(await code { try await cluster.undelete(entries[1].deletion) } == .alreadyExists)
    try await cluster.undelete(entries[1].deletion, to: "/old")
    #expect(try inline(cluster, "/old") == [1] && inline(cluster, "/d/e/f") == [2])
    try await cluster.undelete(entries[0].deletion, to: "/empty")
    #expect(try cluster.stat("/empty").size == .zero)
    try await cluster.undelete(entries[3].deletion, to: "/two")
    #expect(try cluster.stat("/two").chunkCount == 2)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a tree goes and comes back with everything, in one step each`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    for directory in ["/t/a", "/t/b/c"] {
      try await cluster.mkdir(directory, .make)
      for number in 0..<20 { try await cluster.put("\(directory)/\(number)", [UInt8(number)]) }
      try await cluster.upload("\(directory)/big", chunks: 3)
    }
    let before = cluster.namespace.counts
    let deletion = try #require(try await cluster.remove("/t", .tree).deletion)
    #expect(try cluster.names("/").isEmpty)
    let entry = try #require(try cluster.trash().first)
    #expect(entry.kind == .directory && entry.path == cluster.path("/t"))
    try await cluster.mkdir("/x")
    #expect(try await cluster.undelete(deletion, to: "/x/y").path == cluster.path("/x/y"))
    #expect(try cluster.names("/x/y/b/c").count == 21)
    #expect(try inline(cluster, "/x/y/a/7") == [7])
    try await cluster.rename("/x/y", "/t")
    try await cluster.remove("/x", .tree, .now)
    #expect(cluster.namespace.counts == before)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an empty directory comes back, and can be filled again`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/d")
    let deletion = try #require(try await cluster.remove("/d").deletion)
    #expect(cluster.namespace.counts.directories == 1)
    try await cluster.undelete(deletion)
    #expect(cluster.namespace.counts.directories == 2)
    try await cluster.put("/d/f", [1])
    let again = try #require(try await cluster.remove("/d", .tree).deletion)
    #expect(try await cluster.purge(again))
    try await cluster.mkdir("/e")
    let gone = try #require(try await cluster.remove("/e").deletion)
    #expect(try await cluster.purge(gone))
    try await cluster.reapAfterGrace()
    #expect(cluster.namespace.counts.directories == 1 && cluster.namespace.counts.files == 0)
    #expect(try cluster.count("i") == 1)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `now, or without a trash, nothing can be had back`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.upload("/f", chunks: 1)
    try await cluster.put("/g", [1])
    try await cluster.mkdir("/d/e", .make)
    #expect(try await cluster.remove("/f", .tree, .now).deletion == nil)
    #expect(try await cluster.remove("/g", .tree, .now).deletion == nil)
    #expect(try await cluster.remove("/d", .tree, .now).deletion == nil)
    #expect(cluster.namespace.counts.trash == 0 && cluster.namespace.counts.condemned == 2)
    #expect(try await cluster.reapAfterGrace().chunks.count == 1)
    #expect(try cluster.count("i") == 1)
    try await cluster.finish()

    let bare = try TestCluster(engine)
    try await bare.put("/f", [1])
    try await bare.put("/f", [2])
    #expect(try await bare.remove("/f").deletion == nil)
    #expect(try bare.trash().isEmpty && bare.count("i") == 1)
    try await bare.finish()
  }

  @Test(arguments: Engine.allCases)
  func `what was purged never comes back, and only its own chunks are reaped`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    let one = try await cluster.upload("/one", chunks: 2)
    let two = try await cluster.upload("/two", chunks: 1)
    let first = try #require(try await cluster.remove("/one").deletion)
    let second = try #require(try await cluster.remove("/two").deletion)
    #expect(try await cluster.purge(first))
    #expect(try await !cluster.purge(first))
    #expect(await code { try await cluster.undelete(first) } == .notFound)
    try await cluster.undelete(second)
    #expect(try await !cluster.purge(second))
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks.count == 2 && reaped.chunks.allSatisfy { $0.chunk.inode == one })
    #expect(try cluster.namespace.view().manifest(two, page: 0).chunks.count == 1)
    #expect(await code { try await cluster.undelete(first) } == .notFound)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `undelete beside purge: one of them has it, whoever comes first`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    for number in 0..<40 {
      let inode = try await cluster.upload("/f\(number)", chunks: 1)
      let deletion = try #require(try await cluster.remove("/f\(number)").deletion)
      let namespace = cluster.namespace
      async let undone = code { try await namespace.mutate(Undelete(deletion: deletion)) }
      async let purged = namespace.mutate(PurgeTrash(deletion: deletion)).outcome.isPurged
      let (error, isPurged) = try await (undone, purged)
      #expect(error == (isPurged ? .notFound : nil))
      let condemned = cluster.namespace.counts.condemned
      #expect(condemned == (isPurged ? 1 : 0))
      #expect(await code { try cluster.stat("/f\(number)") } == (isPurged ? .notFound : nil))
      let reaped = try await cluster.reapAfterGrace().chunks
      #expect(reaped.map(\.chunk.inode) == (isPurged ? [inode] : []))
    }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `reader of an overwritten version beside the reaper`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    let old = try await cluster.upload("/f", chunks: 2)
    try cluster.namespace.pin(old)
    try await cluster.upload("/f", chunks: 1)
    let deletion = try #require(try cluster.trash().first).deletion
    #expect(try await cluster.purge(deletion))
    for _ in 0..<5 {
      try cluster.namespace.pin(old)
      cluster.clock.advance(by: .seconds(50))
      #expect(try cluster.namespace.nextCondemned() == nil)
      #expect(try cluster.namespace.view().manifest(old, page: 0).chunks.count == 2)
    }
    cluster.clock.advance(by: .seconds(61))
    #expect(try await cluster.reapAll().chunks.map(\.chunk.inode) == [old, old])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a commit into a directory that was just removed`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/d/e", .make)
    let upload = try await cluster.begin("/d/e/f", chunks: 2).upload
    let deletion = try #require(try await cluster.remove("/d", .tree).deletion)
    let chunks = cluster.stored([0, 1])
    #expect(await code { try await cluster.commit(upload, chunks) } == .notFound)
    // Another directory of that name is another directory.
    try await cluster.mkdir("/d/e", .make)
    #expect(await code { try await cluster.commit(upload, chunks) } == .notFound)
    try await cluster.undelete(deletion, to: "/back")
    guard case .committed = try await cluster.commit(upload, chunks) else { throw DFSError(.internal, "") }
    #expect(try cluster.names("/back/e") == ["f"] && cluster.names("/d/e").isEmpty)

    let late = try await cluster.begin("/back/e/g", chunks: 1).upload
    let purged = try #require(try await cluster.remove("/back", .tree).deletion)
    #expect(try await cluster.purge(purged))
    #expect(await code { try await cluster.commit(late, cluster.stored([0])) } == .notFound)
    try await cluster.reapAfterGrace()
    #expect(await code { try await cluster.commit(late, cluster.stored([0])) } == .notFound)
    try await cluster.namespace.mutate(AbortUpload(upload: late, cause: .client))
    try await cluster.reapAfterGrace()
    #expect(try cluster.count("k") == 0 && cluster.count("x") == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the old place is the directory, wherever it is now, or the one that has its path since`(
    engine: Engine
  ) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/a/b", .make)
    func removed() async throws -> DeletionID {
      try await cluster.put("/a/b/f", [1])
      return try #require(try await cluster.remove("/a/b/f").deletion)
    }
    var deletion = try await removed()
    try await cluster.rename("/a", "/z")
    #expect(try cluster.trash().map(\.path) == [cluster.path("/z/b/f")])
    #expect(try await cluster.undelete(deletion).path == cluster.path("/z/b/f"))
    try await cluster.remove("/z/b/f", .tree, .now)
    try await cluster.rename("/z", "/a")

    deletion = try await removed()
    let tree = try #require(try await cluster.remove("/a", .tree).deletion)
    #expect(try cluster.trash().first?.path == cluster.path("/a/b/f"))
    #expect(await code { try await cluster.undelete(deletion) } == .failedPrecondition)
    #expect(await code { try await cluster.undelete(deletion, to: "/none/f") } == .notFound)
    #expect(await code { try await cluster.undelete(deletion, to: "/") } == .alreadyExists)
    try await cluster.put("/file")
    #expect(await code { try await cluster.undelete(deletion, to: "/file/f") } == .failedPrecondition)
    try await cluster.undelete(tree)
    try await cluster.undelete(deletion)
    #expect(try cluster.names("/a/b") == ["f"])

    deletion = try #require(try await cluster.remove("/a/b/f").deletion)
    try await cluster.remove("/a", .tree, .now)
    try await cluster.reapAfterGrace()
    #expect(await code { try await cluster.undelete(deletion) } == .failedPrecondition)
    try await cluster.mkdir("/a/b", .make)
    #expect(try await cluster.undelete(deletion).path == cluster.path("/a/b/f"))
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the time in the trash ends by the cluster's clock, across restarts`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    for number in 0..<30 {
      try await cluster.put("/f\(number)", [1])
      try await cluster.remove("/f\(number)")
      cluster.clock.advance(by: .seconds(60))
    }
    // The cluster's time is kept with each round.
    try await cluster.mkdir("/d")
    try await cluster.restart()
    #expect(try await cluster.purgeExpired() == 0)
    cluster.clock.advance(by: .seconds(24 * 3600 - 30 * 60 + 599))
    #expect(try await cluster.purgeExpired() == 10)
    try await cluster.restart()
    #expect(cluster.namespace.counts.trash == 20)
    #expect(try await cluster.purgeExpired() == 0)
    cluster.clock.advance(by: .seconds(24 * 3600))
    #expect(try await cluster.purgeExpired() == 20)
    #expect(try cluster.count("t") == 0 && cluster.count("i") == 2)
    try await cluster.finish()
  }

  @Test func `nothing is purged while the namespace is held`() async throws {
    let cluster = try await makeCluster(.rocksDB)
    try await cluster.put("/f", [1])
    let deletion = try #require(try await cluster.remove("/f").deletion)
    cluster.clock.advance(by: .seconds(100 * 3600))
    try await cluster.put("/g")
    try cluster.hold()
    try await cluster.restart()
    #expect(try cluster.namespace.expiredTrash(limit: 9).isEmpty)
    #expect(await code { try await cluster.purge(deletion) } == .failedPrecondition)
    try await cluster.undelete(deletion)
    #expect(try inline(cluster, "/f") == [1])
    // The digest has the record of the hold in none of its sums.
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a listing comes in pages, and of one directory only when asked`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    for directory in ["/a", "/ab", "/a/c"] {
      try await cluster.mkdir(directory)
      for number in 0..<9 {
        try await cluster.put("\(directory)/\(number)", [1])
        try await cluster.remove("\(directory)/\(number)")
      }
    }
    let all = try cluster.trash(limit: 4)
    #expect(all.count == 27 && all.map(\.deletion) == all.map(\.deletion).sorted())
    #expect(try cluster.trash("/a", limit: 4).count == 18)
    #expect(try cluster.trash("/a/c").count == 9)
    #expect(try cluster.trash("/a/c/3").map(\.path) == [cluster.path("/a/c/3")])
    #expect(try cluster.trash("/none").isEmpty)
    #expect(await code { try cluster.namespace.view().trash(limit: 0) } == .invalidArgument)
    #expect(await code { try cluster.namespace.view().trash(limit: 1001) } == .invalidArgument)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the costs of the trash are those of the disks, and of trees unknown`(engine: Engine) async throws {
    let cluster = try await makeCluster(engine)
    try await cluster.mkdir("/d")
    try await cluster.remove("/d")
    try await cluster.put("/f", [1])
    try await cluster.remove("/f")
    try await cluster.upload("/g", chunks: 2)
    try await cluster.remove("/g")
    try await cluster.mkdir("/t/u", .make)
    try await cluster.remove("/t", .tree)
    let (costs, next) = try cluster.namespace.view().trashCosts(limit: 3)
    #expect(costs.map(\.stored) == [.zero, .zero, ByteCount(6 * smallChunks.bytes)])
    let rest = try cluster.namespace.view().trashCosts(after: next, limit: 3)
    #expect(rest.costs.map(\.stored) == [nil] && rest.next == nil)
    try await cluster.finish()
  }

  @Test func `a path that is too long is remembered by its end, and leads nowhere`() async throws {
    let cluster = try await makeCluster(.rocksDB)
    let names = (0..<100).map { "\($0)-" + String(repeating: "x", count: 90) }
    let directory = "/" + names.joined(separator: "/")
    for depth in stride(from: 40, through: 100, by: 20) {
      try await cluster.mkdir("/" + names.prefix(depth).joined(separator: "/"), .make)
    }
    try await cluster.put(directory + "/f", [1])
    let deletion = try #require(try await cluster.remove(directory + "/f").deletion)
    #expect(try cluster.trash().first?.path == cluster.path(directory + "/f"))
    #expect(try await cluster.undelete(deletion).path.components.suffix(1).map(\.description) == ["f"])
    let again = try #require(try await cluster.remove(directory + "/f").deletion)
    try await cluster.remove("/" + names[0], .tree, .now)
    let shown = try #require(try cluster.trash().first?.path.description)
    #expect(shown.hasPrefix("/…/") && shown.utf8.count < Limits.trashPathBytes + 260)
    #expect(await code { try await cluster.undelete(again) } == .failedPrecondition)
    try await cluster.undelete(again, to: "/f")
    #expect(try inline(cluster, "/f") == [1])
    try await cluster.finish()
  }

  @Test func `a store from before the trash opens`() async throws {
    let state = StateRecord(time: .zero)
    let old = [1] + state.encoded.dropFirst().dropLast()
    #expect(try StateRecord(stored: old) == state)
    #expect(throws: DFSError.self) { try StateRecord(stored: [1] + state.encoded.dropFirst()) }
    // Results of removals that were given then are still answered.
    var writer = RecordWriter()
    writer.inode(.root)
    writer.byte(EntryKind.file.rawValue)
    var reader = RecordReader(writer.bytes, "outcome")
    #expect(try Remove.decodeOutcome(from: &reader) == Remove.Outcome(inode: .root, kind: .file))
  }
}
