import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct ReapingTests {
  @Test func `nothing is reaped while the namespace is held, also after a restart, until it is released`()
    async throws
  {
    let cluster = try TestCluster(.rocksDB)
    try await cluster.form()
    try await cluster.upload("/f", chunks: 2)
    try await cluster.remove("/f")
    cluster.clock.advance(by: .seconds(200))
    let page = try #require(try cluster.namespace.nextCondemned())
    try cluster.hold()
    try await cluster.restart()
    for _ in 0..<2 {
      #expect(cluster.namespace.isHeld)
      #expect(try cluster.namespace.nextCondemned() == nil)
      #expect(await code { try await cluster.namespace.mutate(Reap(page: page)) } == .failedPrecondition)
      try await cluster.restart()
    }
    #expect(try await cluster.namespace.mutate(ReleaseHold()).outcome.wasHeld)
    #expect(try await !cluster.namespace.mutate(ReleaseHold()).outcome.wasHeld)
    #expect(!cluster.namespace.isHeld)
    try await cluster.restart()
    #expect(!cluster.namespace.isHeld)
    cluster.clock.advance(by: .seconds(200))
    #expect(try await cluster.reapAll().chunks.count == 2)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a removed file is readable through the grace time, then its chunks are named and forgotten`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let inode = try await cluster.upload("/f", chunks: 3)
    try await cluster.remove("/f")
    #expect(try cluster.namespace.nextCondemned() == nil)
    cluster.clock.advance(by: .seconds(119))
    #expect(try cluster.namespace.nextCondemned() == nil)
    #expect(try cluster.namespace.view().manifest(inode, page: 0).chunks.count == 3)
    cluster.clock.advance(by: .seconds(2))
    let page = try #require(try cluster.namespace.nextCondemned())
    #expect(page.kind == .version && page.inode == inode)
    #expect(page.chunks.map(\.chunk) == (0..<3).map { ChunkID(inode: inode, index: $0) })
    // Asking again changes nothing; only `Reap` does, once.
    #expect(try cluster.namespace.nextCondemned() == page)
    #expect(try await cluster.namespace.mutate(Reap(page: page)).outcome.isFinished)
    #expect(try await cluster.namespace.mutate(Reap(page: page)).outcome.isFinished)
    #expect(try cluster.namespace.nextCondemned() == nil)
    #expect(await code { try cluster.namespace.view().manifest(inode, page: 0) } == .notFound)
    for letter in ["c", "k", "x"] { #expect(try cluster.count(Character(letter)) == 0) }
    #expect(cluster.namespace.counts.condemned == 0 && cluster.namespace.counts.chunks == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the reader of an overwritten version keeps it by its pin, beside the reaper`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let old = try await cluster.upload("/f", chunks: 2)
    let other = try await cluster.upload("/g", chunks: 1)
    try await cluster.upload("/f", chunks: 1)
    try await cluster.remove("/g")
    cluster.clock.advance(by: .seconds(115))
    for _ in 0..<5 {
      try cluster.namespace.pin(old)
      cluster.clock.advance(by: .seconds(50))
      let page = try cluster.namespace.nextCondemned()
      #expect(page?.inode != old)
      if let page { try await cluster.namespace.mutate(Reap(page: page)) }
      #expect(try cluster.namespace.view().manifest(old, page: 0).chunks.count == 2)
    }
    #expect(await code { try cluster.namespace.pin(other) } == .notFound)
    cluster.clock.advance(by: .seconds(60))
    #expect(try await cluster.reapAll().chunks.allSatisfy { $0.chunk.inode == old })
    #expect(await code { try cluster.namespace.pin(old) } == .notFound)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a restart gives every reader the time of a pin again`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    try await cluster.upload("/f", chunks: 1)
    try await cluster.remove("/f")
    cluster.clock.advance(by: .seconds(200))
    // The cluster's time stands still while nobody leads, and is kept with each round.
    try await cluster.put("/x")
    try await cluster.restart()
    #expect(try cluster.namespace.nextCondemned() == nil)
    cluster.clock.advance(by: .seconds(60))
    #expect(try await cluster.reapAll().chunks.count == 1)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a tree goes in one step and is reaped in bounded ones`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    for directory in ["/t/a", "/t/b/c"] {
      try await cluster.mkdir(directory, .make)
      for number in 0..<20 { try await cluster.put("\(directory)/\(number)", [1]) }
      try await cluster.upload("\(directory)/big", chunks: 3)
    }
    let operations = cluster.service.batchCount
    try await cluster.remove("/t", .tree)
    if engine == .memoryLedger { #expect(cluster.service.batchCount == operations + 1) }
    #expect(try cluster.names("/").isEmpty)
    #expect(try cluster.namespace.nextCondemned() == nil)
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks.count == 6)
    #expect(try cluster.count("i") == 1 && cluster.count("e") == 0 && cluster.count("x") == 0)
    let counts = cluster.namespace.counts
    #expect(counts.files == 0 && counts.directories == 1 && counts.bytes == .zero && counts.condemned == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the leftovers of an upload and its version are two things, though they share an inode`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let upload = try await cluster.begin("/f", chunks: 4).upload
    guard case .committed = try await cluster.commit(upload, cluster.stored([1])) else { return }
    try await cluster.remove("/f")
    #expect(try cluster.count("x") == 2)
    let reaped = try await cluster.reapAfterGrace()
    #expect(Set(reaped.chunks.map(\.chunk.index)) == [0, 1, 2, 3] && reaped.chunks.count == 4)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `one thing that can not be reaped now is skipped`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let one = try await cluster.upload("/a", chunks: 1)
    let two = try await cluster.upload("/b", chunks: 1)
    try await cluster.remove("/a")
    try await cluster.remove("/b")
    cluster.clock.advance(by: .seconds(121))
    let first = try #require(try cluster.namespace.nextCondemned())
    let second = try #require(try cluster.namespace.nextCondemned(after: first))
    #expect(Set([first.inode, second.inode]) == [one, two])
    #expect(try cluster.namespace.nextCondemned(after: second) == nil)
    try await cluster.namespace.mutate(Reap(page: second))
    #expect(try cluster.namespace.nextCondemned() == first)
    try await cluster.finish()
  }

  @Test func `nothing is reaped before its time, whoever asks`() async throws {
    let cluster = try TestCluster(.memoryLedger)
    try await cluster.form()
    let inode = try await cluster.upload("/a", chunks: 1)
    try await cluster.remove("/a")
    cluster.clock.advance(by: .seconds(60))
    let early = ReapPage(
      notBefore: cluster.namespace.time + .seconds(60), inode: inode, kind: .version, cursor: 0, chunks: [])
    #expect(await code { try await cluster.namespace.mutate(Reap(page: early)) } == .invalidArgument)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a file of 100,000 chunks is sealed, committed, read and reaped under the ledger's limits`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 48)
    let upload = try await cluster.begin("/big", chunks: 0).upload
    let count: UInt32 = 100_000
    let groups = (0..<512).map { GroupID(rawValue: UInt32($0 % 48)) }
    for start in stride(from: UInt32(0), to: count, by: 512) {
      let end = min(start + 512, count)
      try await cluster.namespace.mutate(
        AllocateChunks(upload: upload, groups: Array(groups.prefix(Int(end - start)))))
      let seal = SealSegment(upload: upload, segment: start / 512, chunks: cluster.stored(start..<end))
      #expect(try await cluster.namespace.mutate(seal).outcome == .sealed(segments: start / 512 + 1))
    }
    guard case .committed = try await cluster.commit(upload, [], sealed: Int(count)) else { return }
    var next: UInt32? = 0
    var seen = 0
    while let page = next {
      let manifest = try cluster.namespace.view().manifest(upload, page: page)
      #expect(manifest.firstChunk == UInt64(seen))
      seen += manifest.chunks.count
      next = manifest.nextPage
    }
    #expect(seen == Int(count))
    #expect(try cluster.namespace.view().chunks(of: GroupID(rawValue: 0), after: nil, limit: 10).count == 10)
    try await cluster.remove("/big")
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks.count == Int(count) && reaped.steps >= 2 * 196)
    for letter in ["c", "k", "x", "u"] { #expect(try cluster.count(Character(letter)) == 0) }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a tree of 100,000 files is removed at once and reaped in bounded steps`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let total = 100_000
    let perDirectory = 2_500
    try await withThrowingTaskGroup(of: Void.self) { group in
      for directory in 0..<(total / perDirectory) {
        group.addTask { [cluster = Unchecked(cluster).value] in
          try await cluster.mkdir("/t/\(directory)", .make)
          for number in 0..<perDirectory { try await cluster.put("/t/\(directory)/\(number)") }
        }
      }
      try await group.waitForAll()
    }
    #expect(cluster.namespace.counts.files == UInt64(total))
    try await cluster.remove("/t", .tree)
    #expect(try cluster.names("/").isEmpty)
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.steps >= total / Limits.namesPerReap)
    #expect(try cluster.count("i") == 1 && cluster.count("e") == 0 && cluster.count("x") == 0)
    #expect(cluster.namespace.counts.files == 0)
    try await cluster.finish()
  }
}
