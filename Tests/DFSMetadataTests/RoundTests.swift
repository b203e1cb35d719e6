import DFSCore
import DFSKeyValue
import Testing

@testable import DFSMetadata

/// The round as a value: no thread, no ledger.
@Suite struct RoundTests {
  private let store = MemoryStore()
  private let mark = RoundMark(term: 1, round: 1)

  private func context(_ limits: LedgerLimits = .etcd) -> RoundContext {
    // What comes and goes within a round is to be gone.
    var configuration = NamespaceConfiguration()
    configuration.trashRetention = .zero
    return RoundContext(
      now: ClusterTime(rawValue: 1_000_000), wallTime: FileTime(rawValue: 5),
      configuration: configuration,
      incarnation: 1, limits: limits, isLeaseOver: { _ in false })
  }

  private func round(_ limits: LedgerLimits = .etcd) -> Round {
    Round(
      over: store, previous: mark, term: 1, state: StateRecord(time: ClusterTime(rawValue: 1_000_000)),
      context: context(limits))
  }

  /// A round over a store that has a root.
  private func prepared(_ limits: LedgerLimits = .etcd) throws -> Round {
    let attributes = FileAttributes(mode: 0o755, modified: FileTime(rawValue: 0))
    let root = DirectoryRecord(
      place: nil, attributes: attributes, created: FileTime(rawValue: 0), policy: .standard, revision: .zero)
    var batch = WriteBatch()
    batch.put(Keys.inode(.root), InodeRecord.directory(root).encoded)
    try store.apply(batch, durability: .synced)
    return round(limits)
  }

  private func put(_ path: String, _ count: Int = 10) throws -> PutInline {
    PutInline(
      target: try RemotePath(path), attributes: FileAttributes(mode: 0, modified: FileTime(rawValue: 0)),
      bytes: Array(repeating: 1, count: count), root: digest(1))
  }

  private func keys(_ batch: WriteBatch) -> [[UInt8]] {
    batch.changes.compactMap {
      switch $0 {
      case .put(let key, _), .delete(let key): key
      case .deleteRange: nil
      }
    }
  }

  @Test func `operations see those before them, and the batch names each key once`() throws {
    var round = try prepared()
    let attributes = FileAttributes(mode: 0, modified: FileTime(rawValue: 0))
    _ = try round.perform(
      MakeDirectory(path: try RemotePath("/d"), parents: .mustExist, attributes: attributes), id: nil)
    for _ in 0..<5 { _ = try round.perform(try put("/d/f"), id: nil) }
    _ = try round.perform(
      Rename(source: try RemotePath("/d/f"), target: try RemotePath("/d/g"), existing: .refuse), id: nil)
    let sealed = try #require(try round.seal())
    let keys = keys(sealed.batch.changes)
    #expect(Set(keys).count == keys.count)
    #expect(sealed.state.revision == Revision(rawValue: 7))
    // What came and went within the round is not in the batch: two inodes, two entries, state and mark.
    #expect(keys.count == 6)
    #expect(sealed.batch.mark == RoundMark(term: 1, round: 2))
  }

  @Test func `a failing operation leaves nothing in the batch and fails alone`() throws {
    var round = try prepared()
    _ = try round.perform(try put("/a"), id: nil)
    let id = RequestID(seen: .zero, high: 1, low: 1)
    #expect(throws: DFSError.self) { try round.perform(try put("/none/x"), id: id) }
    #expect(throws: DFSError.self) { try round.perform(FailingMutation(), id: id) }
    _ = try round.perform(try put("/b"), id: nil)
    let sealed = try #require(try round.seal())
    #expect(sealed.state.revision == Revision(rawValue: 2))
    #expect(sealed.state.counts.files == 2 && sealed.notices.isEmpty)
    #expect(keys(sealed.batch.changes).count == 6)
    #expect(sealed.state.nextSerial == 4)
  }

  @Test func `a round without changes has no batch`() throws {
    var round = try prepared()
    #expect(throws: DFSError.self) { try round.perform(try put("/none/x"), id: nil) }
    #expect(try round.seal() == nil)
  }

  @Test func `an operation that does not fit waits for the next round, one that never can is refused`() throws
  {
    let limits = LedgerLimits(operations: 9, bytes: .mib(1))
    var round = try prepared(limits)
    for name in ["/a", "/b", "/c"] { _ = try round.perform(try put(name), id: nil) }
    #expect(throws: Transaction.Full.self) { try round.perform(try put("/d"), id: nil) }
    let sealed = try #require(try round.seal())
    #expect(sealed.batch.changes.changes.count <= limits.operations)
    #expect(sealed.state.counts.files == 3)

    var small = self.round(LedgerLimits(operations: 4, bytes: .mib(1)))
    #expect(throws: DFSError.self) { try small.perform(try put("/e"), id: nil) }
    var narrow = self.round(LedgerLimits(operations: 100, bytes: .kib(2)))
    #expect(throws: DFSError.self) { try narrow.perform(try put("/e", 2000), id: nil) }
    #expect(throws: Never.self) { try narrow.perform(try put("/e", 20), id: nil) }
  }

  @Test func `the size of a batch is known while it grows`() throws {
    var changes = ChangeSet(over: store)
    changes.begin()
    changes.insert([1], [1, 2, 3])
    try changes.write([2], [1])
    #expect(changes.operationCount == 2 && changes.byteCount == 6)
    changes.begin()
    try changes.write([1], nil)
    try changes.write([1], [9, 9])
    try changes.write([3], [1, 1])
    #expect(changes.operationCount == 3 && changes.byteCount == 8)
    changes.undoOperation()
    #expect(changes.operationCount == 2 && changes.byteCount == 6)
    #expect(try changes.value(for: [1]) == [1, 2, 3] && changes.value(for: [3]) == nil)
  }

  @Test func `a scan in a round sees the round's own changes`() throws {
    var batch = WriteBatch()
    for byte in UInt8(0)..<10 { batch.put([7, byte], [byte]) }
    try store.apply(batch, durability: .synced)
    var changes = ChangeSet(over: store)
    changes.begin()
    for byte in [0, 1, 4] as [UInt8] { try changes.write([7, byte], nil) }
    try changes.write([7, 2, 2], [22])
    try changes.write([7, 3], [33])
    func first(_ limit: Int, from start: [UInt8] = [7]) throws -> [[UInt8]] {
      try changes.first(limit, from: start, withPrefix: [7]).map(\.value)
    }
    #expect(try first(3) == [[2], [22], [33]])
    #expect(try first(4) == [[2], [22], [33], [5]])
    #expect(try first(2, from: [7, 3]) == [[33], [5]])
    #expect(try first(100).count == 8)
  }
}

/// Writes, counts, takes an id, then fails.
private struct FailingMutation: Mutation {
  static var kind: OperationKind { .remove }
  func encodeArguments(to writer: inout RecordWriter) {}
  static func encode(_ outcome: Int, to writer: inout RecordWriter) {}
  static func decodeOutcome(from reader: inout RecordReader) throws -> Int { 0 }
  func execute(in transaction: inout Transaction) throws -> Int {
    let inode = transaction.nextInode()
    transaction.note(.leaseStarted(inode))
    transaction.count { $0.files += 100 }
    try transaction.delete(Keys.inode(.root))
    try transaction.condemn(inode, .version)
    throw DFSError(.internal, "on purpose")
  }
}
