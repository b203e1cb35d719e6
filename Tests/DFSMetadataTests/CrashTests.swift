import DFSCore
import DFSKeyValue
import TestSupport
import Testing

@testable import DFSMetadata

/// The process dies between any two steps of the ledger; its successor has the old local store, or none at
/// all.
@Suite struct CrashTests {
  private struct Plan {
    var names: [String]
    var dieAt: Int
  }

  /// Runs puts until the process dies at the given step; gives the names that were acknowledged, and the
  /// store.
  private func run(
    _ plan: Plan, _ service: MemoryLedgerService
  ) async throws -> (acknowledged: [String], unknown: [String], store: MemoryStore) {
    let step = Shared(0)
    let ledger = MemoryLedger(service) { _ in
      step.value += 1
      if step.value >= plan.dieAt { throw DFSError(.outcomeUnknown, "the process died") }
    }
    let store = MemoryStore()
    var acknowledged: [String] = []
    var unknown: [String] = []
    guard let namespace = try? Namespace.open(store: store, ledger: ledger, logger: TestCluster.logger) else {
      return ([], [], store)
    }
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    for name in plan.names {
      let put = PutInline(
        target: try RemotePath("/" + name), attributes: attributes, bytes: [1], root: digest(1))
      let id = RequestID(seen: Revision(rawValue: 0), high: 0, low: UInt64(name) ?? 0)
      switch await code({ try await namespace.mutate(put, id: id) }) {
      case nil: acknowledged.append(name)
      case .outcomeUnknown: unknown.append(name)
      case .unavailable: break
      case let other: Issue.record("\(String(describing: other))")
      }
    }
    await namespace.close()
    return (acknowledged, unknown, store)
  }

  @Test(arguments: [false, true])
  func `what was acknowledged is there, and asking again settles what is unknown`(losesLocalStore: Bool)
    async throws
  {
    let names = (0..<6).map { String($0) }
    for dieAt in 1...25 {
      let service = MemoryLedgerService(faults: dieAt % 2 == 0 ? .many : .none, seed: UInt64(dieAt))
      let before = try await run(Plan(names: names, dieAt: dieAt), service)
      let store = losesLocalStore ? MemoryStore() : before.store.afterCrash()
      let namespace = try Namespace.open(
        store: store, ledger: MemoryLedger(service), logger: TestCluster.logger)
      func present() throws -> Set<String> {
        Set(try namespace.list(ListRequest(path: .root)).entries.compactMap { $0.path.name?.description })
      }
      let found = try present()
      #expect(found.isSuperset(of: before.acknowledged), "died at step \(dieAt)")
      #expect(found.isSubset(of: before.acknowledged + before.unknown), "died at step \(dieAt)")
      let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
      for name in before.unknown {
        let put = PutInline(
          target: try RemotePath("/" + name), attributes: attributes, bytes: [1], root: digest(1))
        let id = RequestID(seen: Revision(rawValue: 0), high: 0, low: UInt64(name) ?? 0)
        let again = try await namespace.mutate(put, id: id)
        #expect(again.isReplay == found.contains(name), "died at step \(dieAt)")
      }
      #expect(try present() == Set(before.acknowledged + before.unknown))
      try namespace.view().checkDigest()
      await namespace.close()
    }
  }

  @Test func `a standalone coordinator that is killed has everything acknowledged and no half of the rest`()
    async throws
  {
    let store = MemoryStore()
    let namespace = try Namespace.open(store: store, ledger: StandaloneLedger(), logger: TestCluster.logger)
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    for number in 0..<20 {
      let path = try RemotePath("/a\(number)/b/c")
      try await namespace.mutate(MakeDirectory(path: path, parents: .make, attributes: attributes))
      let crashed = store.afterCrash()
      let next = try Namespace.open(store: crashed, ledger: StandaloneLedger(), logger: TestCluster.logger)
      #expect(try next.view().stat(path).kind == .directory)
      try next.view().checkDigest()
      await next.close()
    }
    await namespace.close()
  }

  /// Removes, undeletes, removes and purges one file; gives how many of these were acknowledged, and the store.
  private func loseAndFind(dieAt: Int, _ service: MemoryLedgerService) async throws -> (Int, MemoryStore) {
    let step = Shared(0)
    let ledger = MemoryLedger(service) { _ in
      step.value += 1
      if step.value >= dieAt { throw DFSError(.outcomeUnknown, "the process died") }
    }
    let store = MemoryStore()
    guard let namespace = try? Namespace.open(store: store, ledger: ledger, logger: TestCluster.logger) else {
      return (0, store)
    }
    let path = try RemotePath("/f")
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    var done = 0
    do {
      try await namespace.mutate(PutInline(target: path, attributes: attributes, bytes: [1], root: digest(1)))
      done = 1
      let remove = Remove(path: path, scope: .fileOrEmptyDirectory)
      var deletion = try #require(try await namespace.mutate(remove).outcome.deletion)
      done = 2
      try await namespace.mutate(Undelete(deletion: deletion))
      done = 3
      deletion = try #require(try await namespace.mutate(remove).outcome.deletion)
      done = 4
      try await namespace.mutate(PurgeTrash(deletion: deletion))
      done = 5
    } catch let error as DFSError { #expect([.outcomeUnknown, .unavailable].contains(error.code)) }
    await namespace.close()
    return (done, store)
  }

  @Test(arguments: [false, true])
  func `what is removed is in one place at any time: under its name, in the trash, or gone`(
    losesLocalStore: Bool
  ) async throws {
    for dieAt in 1...22 {
      let service = MemoryLedgerService(faults: dieAt % 2 == 0 ? .many : .none, seed: UInt64(dieAt))
      let (done, crashed) = try await loseAndFind(dieAt: dieAt, service)
      let store = losesLocalStore ? MemoryStore() : crashed.afterCrash()
      let namespace = try Namespace.open(
        store: store, ledger: MemoryLedger(service), logger: TestCluster.logger)
      let view = try namespace.view()
      let isNamed = await code { try view.stat(try RemotePath("/f")) } == nil
      let trash = try view.trash().entries
      // Named, trashed, named, trashed, gone: as acknowledged, or one further.
      let states: [(Bool, Int)] = [(false, 0), (true, 0), (false, 1), (true, 0), (false, 1), (false, 0)]
      let possible = states[done...min(done + 1, 5)]
      #expect(possible.contains { $0 == (isNamed, trash.count) }, "died at step \(dieAt), done \(done)")
      #expect(namespace.counts.trash == UInt64(trash.count) && namespace.counts.files == (isNamed ? 1 : 0))
      try view.checkDigest()
      await namespace.close()
    }
  }
}
