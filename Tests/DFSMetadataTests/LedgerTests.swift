import DFSCore
import DFSKeyValue
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct LedgerTests {
  private func batch(_ previous: RoundMark, _ mark: RoundMark, _ extra: [WriteBatch.Change] = [])
    -> LedgerBatch
  {
    var changes = WriteBatch()
    changes.put(Keys.round, mark.encoded)
    return LedgerBatch(previous: previous, mark: mark, changes: changes.adding(extra))
  }

  @Test func `the memory ledger refuses what etcd would refuse`() throws {
    let ledger = MemoryLedger(MemoryLedgerService())
    let store = MemoryStore()
    let mark = RoundMark(term: 1, round: 1)
    func settle(_ extra: [WriteBatch.Change]) -> DFSError.Code? {
      do { try ledger.settle(batch(.none, mark, extra), in: store, derived: []) } catch {
        return (error as? DFSError)?.code
      }
      return nil
    }
    #expect(settle([.put(key: [1], value: []), .delete(key: [1])]) == .invalidArgument)
    #expect(settle((0..<128).map { .put(key: [UInt8($0)], value: []) }) == .invalidArgument)
    #expect(settle([.put(key: [1], value: Array(repeating: 0, count: 1536 << 10))]) == .invalidArgument)
    #expect(settle([.put(key: [1, 2], value: []), .deleteRange(KeyRange(prefix: [1]))]) == .invalidArgument)
    #expect(try store.value(for: Keys.round) == nil)
    #expect(settle((0..<127).map { .put(key: [UInt8($0)], value: []) }) == nil)
  }

  @Test func `a batch is durable once, whatever happens to requests and answers`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<20 {
      var faults = MemoryLedgerService.Faults()
      faults.lostAnswers = 300
      faults.lateTransactions = 300
      faults.lostRequests = 300
      let service = MemoryLedgerService(faults: faults, seed: random.next())
      let ledger = MemoryLedger(service)
      let store = MemoryStore()
      var mark = RoundMark.none
      for number in 1...50 {
        let next = RoundMark(term: 1, round: UInt64(number))
        try ledger.settle(batch(mark, next, [.put(key: [9], value: [UInt8(number)])]), in: store, derived: [])
        mark = next
      }
      #expect(service.batchCount == 50 && service.mark == mark)
      let other = MemoryStore()
      try ledger.catchUp(other)
      #expect(try other.value(for: [9]) == [50])
    }
  }

  @Test func `a second leader fences the first, which ends and says so`() async throws {
    let service = MemoryLedgerService()
    let first = try Namespace.open(
      store: MemoryStore(), ledger: MemoryLedger(service), logger: TestCluster.logger)
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    func put(_ namespace: Namespace, _ path: String) async throws {
      let path = try RemotePath(path)
      try await namespace.mutate(PutInline(target: path, attributes: attributes, bytes: [1], root: digest(1)))
    }
    try await put(first, "/a")
    let second = try Namespace.open(
      store: MemoryStore(), ledger: MemoryLedger(service), logger: TestCluster.logger)
    #expect(second.epoch > first.epoch && second.cluster == first.cluster)
    #expect(await code { try await put(first, "/b") } == .outcomeUnknown)
    #expect(await first.waitUntilEnded()?.code == .stale)
    #expect(await code { try await put(first, "/c") } == .unavailable)
    try await put(second, "/d")
    let names = try second.list(ListRequest(path: .root)).entries.map(\.path.description)
    #expect(names == ["/a", "/d"])
    try second.view().checkDigest()
    await first.close()
    await second.close()
  }

  @Test func `a leader whose predecessor's last batch comes in late takes over all the same`() async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<30 {
      let service = MemoryLedgerService(seed: random.next())
      let died = Atomic<Bool>(false)
      let dying = MemoryLedger(service) { _ in
        if died.load(ordering: .relaxed) { throw DFSError(.outcomeUnknown, "dead") }
      }
      let first = try Namespace.open(store: MemoryStore(), ledger: dying, logger: TestCluster.logger)
      var faults = MemoryLedgerService.Faults()
      faults.lateTransactions = 500
      service.set(faults)
      let path = try RemotePath("/late")
      let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
      let put = PutInline(target: path, attributes: attributes, bytes: [1], root: digest(1))
      let outcome = await code { try await first.mutate(put) }
      died.store(true, ordering: .relaxed)
      let second = try Namespace.open(
        store: MemoryStore(), ledger: MemoryLedger(service), logger: TestCluster.logger)
      let names = try second.list(ListRequest(path: .root)).entries.map(\.path.description)
      if outcome == nil { #expect(names == ["/late"]) }
      try second.view().checkDigest()
      await first.close()
      await second.close()
    }
  }

  @Test func `a failed sync is an unknown outcome, and the namespace ends`() async throws {
    let fails = Shared(false)
    let store = MemoryStore { _ in
      if fails.value { throw DFSError(.outcomeUnknown, "the sync failed") }
    }
    let namespace = try Namespace.open(store: store, ledger: StandaloneLedger(), logger: TestCluster.logger)
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    let mkdir = MakeDirectory(path: try RemotePath("/d"), parents: .mustExist, attributes: attributes)
    fails.value = true
    #expect(await code { try await namespace.mutate(mkdir) } == .outcomeUnknown)
    #expect(await namespace.waitUntilEnded()?.code == .outcomeUnknown)
    fails.value = false
    #expect(await code { try await namespace.mutate(mkdir) } == .unavailable)
    // Reads go on.
    #expect(try namespace.view().stat(.root).kind == .directory)
    await namespace.close()
  }

  @Test func `a full disk refuses the round, and the next one may succeed`() async throws {
    let isFull = Shared(false)
    let store = MemoryStore { _ in
      if isFull.value { throw DFSError(.exhausted, "the disk is full") }
    }
    let namespace = try Namespace.open(store: store, ledger: StandaloneLedger(), logger: TestCluster.logger)
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    let mkdir = MakeDirectory(path: try RemotePath("/d"), parents: .mustExist, attributes: attributes)
    isFull.value = true
    #expect(await code { try await namespace.mutate(mkdir) } == .exhausted)
    isFull.value = false
    #expect(await code { try await namespace.mutate(mkdir) } == nil)
    try namespace.view().checkDigest()
    await namespace.close()
    #expect(await namespace.waitUntilEnded() == nil)
    #expect(await code { try await namespace.mutate(mkdir) } == .unavailable)
  }

  @Test func `a store that ends before the last acknowledged round is refused, for it would serve less`()
    async throws
  {
    let directory = try TemporaryDirectory("dfs-last-round")
    let path = directory.path + "/last-round"
    func open(_ store: MemoryStore) throws -> Namespace {
      try Namespace.open(
        store: store, ledger: StandaloneLedger(lastRound: try LastRound(path: path)),
        logger: TestCluster.logger)
    }
    let store = MemoryStore()
    let namespace = try open(store)
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    let mkdir = MakeDirectory(path: try RemotePath("/d"), parents: .mustExist, attributes: attributes)
    let before = store.afterCrash()
    try await namespace.mutate(mkdir)
    await namespace.close()
    #expect(await code { try open(before) } == .corrupt)
    #expect(await code { try open(MemoryStore()) } == .corrupt)
    let again = try open(store.afterCrash())
    #expect(try again.view().stat(try RemotePath("/d")).kind == .directory)
    await again.close()
    // A file that is not whole protects less, and stops nobody.
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
    await (try open(before)).close()
  }

  @Test func `a start raises the term, keeps the cluster, and refuses what is not its own`() async throws {
    let cluster = try TestCluster(.rocksDB)
    let (epoch, id) = (cluster.namespace.epoch, cluster.namespace.cluster)
    try await cluster.restart()
    #expect(cluster.namespace.cluster == id)
    #expect(cluster.namespace.epoch == Epoch(incarnation: epoch.incarnation, term: epoch.term + 1))
    await cluster.namespace.close()

    func openCode(_ change: (inout WriteBatch) -> Void) async throws -> DFSError.Code? {
      let store = MemoryStore()
      let namespace = try Namespace.open(store: store, ledger: StandaloneLedger(), logger: TestCluster.logger)
      await namespace.close()
      var batch = WriteBatch()
      change(&batch)
      try store.apply(batch, durability: .synced)
      return await code {
        try Namespace.open(store: store, ledger: StandaloneLedger(), logger: TestCluster.logger)
      }
    }
    var record = ClusterRecord(cluster: id)
    record.format = 2
    #expect(try await openCode { $0.put(Keys.cluster, record.encoded) } == .failedPrecondition)
    record.format = 1
    // As version 1 wrote it.
    let old = [1] + record.encoded.dropFirst().dropLast()
    #expect(try await openCode { $0.put(Keys.cluster, old) } == nil)
    record.features = ["unheard-of"]
    #expect(try await openCode { $0.put(Keys.cluster, record.encoded) } == .failedPrecondition)
    #expect(try await openCode { $0.put(Keys.state, [1, 2]) } == .corrupt)
    #expect(try await openCode { $0.delete(Keys.cluster) } == .corrupt)
    #expect(try await openCode { $0.delete(Keys.round) } == .corrupt)
  }

  @Test func `the digest finds a record that changed beneath the rounds`() async throws {
    let cluster = try TestCluster(.rocksDB)
    try await cluster.put("/f", [1])
    try cluster.namespace.view().checkDigest()
    var batch = WriteBatch()
    let entry = EntryRecord(inode: .root, kind: .file, revision: .zero)
    batch.put(Keys.entry(.root, try FileName("f")), entry.encoded)
    try cluster.store.apply(batch, durability: .synced)
    #expect(await code { try cluster.namespace.view().checkDigest() } == .corrupt)
    await cluster.namespace.close()
  }
}

/// A value that a test changes while others read it.
final class Shared<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>
  init(_ value: Value) { mutex = Mutex(value) }
  var value: Value {
    get { mutex.withLock { $0 } }
    set { mutex.withLock { $0 = newValue } }
  }
}
