import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct ListingTests {
  /// All pages of a listing.
  private func pages(
    _ cluster: TestCluster, _ path: String, _ depth: ListRequest.Depth = .children, limit: Int
  ) throws -> [ListPage] {
    var request = ListRequest(path: cluster.path(path), depth: depth, limit: limit)
    var pages: [ListPage] = []
    while true {
      let page = try cluster.namespace.list(request)
      pages.append(page)
      guard let next = page.next else { return pages }
      request.after = next.after
      request.snapshot = next.snapshot
    }
  }

  @Test(arguments: Engine.allCases)
  func `a listing comes in pages, each name once, in byte order`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/d")
    for number in 0..<150 { try await cluster.put("/d/\(number)", [1]) }
    for limit in [1, 7, 50, 149, 150, 151, 1000] {
      let pages = try pages(cluster, "/d", limit: limit)
      #expect(pages.allSatisfy { $0.entries.count <= limit && !$0.isLaterRevision })
      let names = pages.flatMap(\.entries).compactMap { $0.path.name }
      #expect(names == names.sorted() && Set(names).count == 150)
    }
    #expect(await code { try pages(cluster, "/d", limit: 0) } == .invalidArgument)
    #expect(await code { try pages(cluster, "/d", limit: 1001) } == .invalidArgument)
    #expect(try pages(cluster, "/d/7", limit: 10).flatMap(\.entries).map(\.path.description) == ["/d/7"])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a recursive listing goes through the tree in path order whatever the page`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/a/b/c", .make)
    try await cluster.mkdir("/a/b-", .make)
    try await cluster.mkdir("/a/d", .make)
    for name in ["/a/b/c/1", "/a/b/c/2", "/a/b/z", "/a/b-/y", "/a/0", "/a/z", "/top"] {
      try await cluster.put(name)
    }
    let expected = [
      "/a", "/a/0", "/a/b", "/a/b/c", "/a/b/c/1", "/a/b/c/2", "/a/b/z", "/a/b-", "/a/b-/y", "/a/d", "/a/z",
      "/top",
    ]
    for limit in [1, 2, 3, 5, 100] {
      let entries = try pages(cluster, "/", .recursive, limit: limit).flatMap(\.entries)
      #expect(entries.map(\.path.description) == expected)
    }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a listing shows one revision while its snapshot lives, then goes on and says so`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine) { $0.listSnapshots = 2 }
    for name in ["a", "c", "e", "g"] { try await cluster.put("/" + name) }
    var request = ListRequest(path: .root, limit: 2)
    let first = try cluster.namespace.list(request)
    try await cluster.put("/d")
    try await cluster.remove("/e")
    request.after = first.next?.after
    request.snapshot = first.next?.snapshot
    let second = try cluster.namespace.list(request)
    #expect(second.entries.map(\.path.description) == ["/e", "/g"])
    #expect(second.revision == first.revision && !second.isLaterRevision)

    cluster.clock.advance(by: .seconds(301))
    let later = try cluster.namespace.list(request)
    #expect(later.entries.map(\.path.description) == ["/d", "/g"])
    #expect(later.isLaterRevision && later.revision > first.revision)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `the snapshots are bounded: the oldest makes room`(engine: Engine) async throws {
    let cluster = try TestCluster(engine) { $0.listSnapshots = 2 }
    for name in ["a", "b", "c"] { try await cluster.put("/" + name) }
    var held: [ListPage] = []
    for _ in 0..<3 {
      held.append(try cluster.namespace.list(ListRequest(path: .root, limit: 1)))
      cluster.clock.advance(by: .seconds(1))
    }
    func isLater(_ page: ListPage) throws -> Bool {
      let next = try #require(page.next)
      return try cluster.namespace.list(
        ListRequest(path: .root, after: next.after, snapshot: next.snapshot, limit: 1)
      ).isLaterRevision
    }
    #expect(try isLater(held[1]) == false)
    #expect(try isLater(held[2]) == false)
    #expect(try isLater(held[0]) == true)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a listing whose directory vanished at the cursor goes on after its name`(engine: Engine) async throws
  {
    let cluster = try TestCluster(engine)
    for name in ["/a/1", "/b/1", "/b/2", "/c/1"] { try await cluster.mkdir(name, .make) }
    var request = ListRequest(path: .root, depth: .recursive, after: cluster.path("/b/1"), limit: 10)
    #expect(try cluster.namespace.list(request).entries.map(\.path.description) == ["/b/2", "/c", "/c/1"])
    try await cluster.remove("/b", .tree)
    #expect(try cluster.namespace.list(request).entries.map(\.path.description) == ["/c", "/c/1"])
    request.after = cluster.path("/zzz")
    #expect(try cluster.namespace.list(request).entries.isEmpty)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `usage counts a tree in bounded steps`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    try await cluster.mkdir("/t/u/v", .make)
    for number in 0..<20 { try await cluster.put("/t/u/\(number)", [1, 2, 3]) }
    try await cluster.upload("/t/u/v/big", chunks: 2)
    for limit in [1, 3, 1000] {
      var total = UsageStep()
      var cursor: UsageCursor?
      var steps = 0
      repeat {
        let step = try cluster.namespace.view().usage(cluster.path("/t"), after: cursor, limit: limit)
        total.files += step.files
        total.directories += step.directories
        total.bytes = total.bytes + step.bytes
        total.storedBytes = total.storedBytes + step.storedBytes
        cursor = step.next
        steps += 1
      } while cursor != nil
      #expect(total.files == 21 && total.directories == 3)
      #expect(total.bytes == ByteCount(60 + 2 * smallChunks.bytes))
      #expect(total.storedBytes == ByteCount(60 + 6 * smallChunks.bytes))
      #expect(limit > 23 ? steps == 1 : steps >= 23 / limit)
    }
    #expect(try cluster.namespace.view().usage(cluster.path("/t/u/0"), limit: 1).files == 1)
    try await cluster.finish()
  }
}
