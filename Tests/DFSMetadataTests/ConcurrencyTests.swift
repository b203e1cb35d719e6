import DFSCore
import DFSKeyValue
import Glibc
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct ConcurrencyTests {
  @Test(arguments: Engine.allCases)
  func `many callers share rounds, each gets its own revision, and readers never see half of one`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.mkdir("/a")
    try await cluster.mkdir("/b")
    try await cluster.put("/a/f", [1])
    let before = cluster.service.batchCount
    let namespace = cluster.namespace
    let (a, b) = (cluster.path("/a/f"), cluster.path("/b/f"))
    let revisions = try await withThrowingTaskGroup(of: [Revision].self) { group in
      for task in 0..<16 {
        group.addTask { [cluster = Unchecked(cluster).value] in
          var revisions: [Revision] = []
          for number in 0..<50 { revisions.append(try await cluster.put("/\(task)-\(number)").revision) }
          return revisions
        }
      }
      group.addTask {
        for round in 0..<100 {
          try await namespace.mutate(
            Rename(source: round % 2 == 0 ? a : b, target: round % 2 == 0 ? b : a, existing: .refuse))
        }
        return []
      }
      group.addTask {
        for _ in 0..<500 {
          let view = try namespace.view()
          let found = [a, b].count { (try? view.stat($0)) != nil }
          #expect(found == 1)
          await Task.yield()
        }
        return []
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(Set(revisions).count == 800)
    if engine == .memoryLedger { #expect(cluster.service.batchCount - before < 900) }
    #expect(cluster.namespace.counts.files == 801)
    try await cluster.finish()
  }

  @Test func `one of many writers of an absent name wins`() async throws {
    let cluster = try TestCluster(.rocksDB)
    let winners = await withTaskGroup(of: Bool.self) { group in
      for number in 0..<64 {
        group.addTask { [cluster = Unchecked(cluster).value] in
          await code { try await cluster.put("/f", [UInt8(number)], .ifAbsent) } == nil
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(winners == 1)
    try await cluster.finish()
  }

  @Test func `the queue of waiting mutations is bounded`() async throws {
    // The first round stands still until every caller has been queued or refused.
    let gate = Shared(false)
    let store = MemoryStore { batch in
      while gate.value && batch.changes.count > 2 { sched_yield() }
    }
    var configuration = NamespaceConfiguration()
    configuration.waitingMutations = 10
    let namespace = try Namespace.open(
      store: store, ledger: StandaloneLedger(), configuration: configuration, logger: TestCluster.logger)
    gate.value = true
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    let codes = await withTaskGroup(of: DFSError.Code?.self) { group in
      for number in 0..<50 {
        group.addTask {
          await code {
            let path = try RemotePath("/\(number)")
            return try await namespace.mutate(
              PutInline(target: path, attributes: attributes, bytes: [], root: digest(1)))
          }
        }
      }
      var codes: [DFSError.Code?] = []
      for await code in group {
        codes.append(code)
        // At most one round of ten is under way and ten wait, so most have been refused by now.
        if codes.count == 30 { gate.value = false }
      }
      return codes
    }
    #expect(codes.count { $0 == .unavailable } >= 29)
    #expect(codes.count { $0 == nil } >= 10)
    await namespace.close()
  }
}
