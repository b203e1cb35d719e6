import DFSCore
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct RequestTests {
  @Test(arguments: Engine.allCases)
  func `a request sent twice is executed once and answered the same, also after a restart`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    let id = RequestID(seen: cluster.revision, high: 1, low: 2)
    let first = try await cluster.put("/f", [1], .ifAbsent, id: id)
    let again = try await cluster.put("/f", [1], .ifAbsent, id: id)
    #expect(again.outcome == first.outcome && again.revision == first.revision)
    #expect(!first.isReplay && again.isReplay)
    try await cluster.remove("/f")
    try await cluster.restart()
    let later = try await cluster.put("/f", [1], .ifAbsent, id: id)
    #expect(later.outcome == first.outcome && later.isReplay)
    #expect(try cluster.names("/").isEmpty)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an id with other arguments or another operation is refused`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let id = RequestID(seen: cluster.revision, high: 1, low: 2)
    try await cluster.put("/f", [1], id: id)
    #expect(await code { try await cluster.put("/f", [2], id: id) } == .invalidArgument)
    let mkdir = MakeDirectory(path: cluster.path("/d"), parents: .make, attributes: cluster.attributes)
    #expect(await code { try await cluster.namespace.mutate(mkdir, id: id) } == .invalidArgument)
    #expect(try cluster.names("/") == ["f"])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a request that failed changed nothing and may be sent again`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let id = RequestID(seen: cluster.revision, high: 1, low: 2)
    #expect(await code { try await cluster.put("/d/f", [1], id: id) } == .notFound)
    let before = cluster.revision
    try await cluster.mkdir("/d")
    #expect(cluster.revision == before.next)
    #expect(try await !cluster.put("/d/f", [1], id: id).isReplay)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an id under the floor is refused as unknown and never executed`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let old = RequestID(seen: cluster.revision, high: 1, low: 2)
    try await cluster.put("/f", [1], id: old)
    try await cluster.remove("/f")
    for hour in 0..<6 {
      cluster.clock.advance(by: .seconds(3600))
      try await cluster.put("/h\(hour)", id: RequestID(seen: cluster.revision, high: 5, low: UInt64(hour)))
    }
    let before = cluster.revision
    #expect(await code { try await cluster.put("/f", [1], id: old) } == .outcomeUnknown)
    #expect(
      await code { try await cluster.put("/g", [1], id: RequestID(seen: .zero, high: 9, low: 9)) }
        == .outcomeUnknown)
    #expect(cluster.revision == before)
    #expect(try !cluster.names("/").contains("f"))
    // Old results are gone from the store, and a client that saw the present is served.
    #expect(try cluster.count("o") < 6)
    try await cluster.put("/new", id: RequestID(seen: cluster.revision, high: 1, low: 2))
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `results are kept for two hours at least`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    var ids: [(at: Int, id: RequestID)] = []
    for step in 0..<40 {
      let id = RequestID(seen: cluster.revision, high: 1, low: UInt64(step))
      try await cluster.put("/f\(step)", id: id)
      ids.append((step, id))
      for (at, id) in ids where (step - at) * 10 <= 120 {
        #expect(try await cluster.put("/f\(at)", id: id).isReplay)
      }
      cluster.clock.advance(by: .seconds(600))
    }
    #expect(try cluster.count("o") < 30)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a client of an idle cluster is never refused, whatever time has passed`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.put("/a")
    let id = RequestID(seen: cluster.revision, high: 1, low: 1)
    cluster.clock.advance(by: .seconds(100 * 3600))
    try await cluster.put("/b", id: id)
    #expect(try await cluster.put("/b", id: id).isReplay)
    cluster.clock.advance(by: .seconds(3600))
    try await cluster.put("/c")
    #expect(try await cluster.put("/b", id: id).isReplay)
    try await cluster.finish()
  }

  @Test func `a request that saw a later revision meets a namespace that went back in time`() async throws {
    let cluster = try TestCluster(.memoryLedger)
    let id = RequestID(seen: Revision(rawValue: 1000), high: 1, low: 1)
    #expect(await code { try await cluster.put("/f", id: id) } == .stale)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `uploads are replayed with the same ids`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    func id(_ low: UInt64) -> RequestID { RequestID(seen: Revision(rawValue: 1), high: 3, low: low) }
    let begun = try await cluster.begin("/f", chunks: 2, id: id(1))
    #expect(try await cluster.begin("/f", chunks: 2, id: id(1)) == begun)
    let chunks = cluster.stored([0, 1])
    let done = try await cluster.commit(begun.upload, chunks, id: id(2))
    #expect(try await cluster.commit(begun.upload, chunks, id: id(2)) == done)
    #expect(await code { try await cluster.commit(begun.upload, chunks, id: id(3)) } == .notFound)
    #expect(
      await code { try await cluster.commit(begun.upload, cluster.stored([0]), id: id(2)) }
        == .invalidArgument)
    try await cluster.finish()
  }

  @Test func `an id twice in one round is executed once`() async throws {
    let cluster = try TestCluster(.memoryLedger)
    let id = RequestID(seen: cluster.revision, high: 1, low: 1)
    let answers = try await withThrowingTaskGroup(of: Settled<WriteReceipt>.self) { group in
      for _ in 0..<50 {
        group.addTask { [cluster = Unchecked(cluster)] in try await cluster.value.put("/f", [1], id: id) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(answers.map(\.outcome)).count == 1)
    #expect(answers.count { !$0.isReplay } == 1)
    try await cluster.finish()
  }
}

/// Lets several tasks of a test use one fixture, of which they call only what locks itself.
struct Unchecked<Value>: @unchecked Sendable {
  // SAFETY: the tests' tasks read the fixture and call its namespace, which is Sendable.
  let value: Value
  init(_ value: Value) { self.value = value }
}
