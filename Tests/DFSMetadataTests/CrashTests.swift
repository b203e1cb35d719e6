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
}
