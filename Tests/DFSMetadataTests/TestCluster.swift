import DFSCore
import DFSKeyValue
import Logging
import TestSupport
import Testing

@testable import DFSMetadata

/// The engines that every test of the namespace runs on.
enum Engine: String, CaseIterable, CustomTestStringConvertible {
  /// A local store in memory behind a ledger with etcd's limits, which loses answers and applies late.
  case memoryLedger
  case rocksDB
  var testDescription: String { rawValue }
}

/// A namespace with what it stands on, and a clock that the test moves.
final class TestCluster {
  let engine: Engine
  let clock = ManualClock()
  let service: MemoryLedgerService
  var configuration = NamespaceConfiguration()
  private(set) var store: any OrderedStore
  private(set) var namespace: Namespace
  private let directory: TemporaryDirectory?

  static let start = FileTime(rawValue: 1_700_000_000_000_000_000)

  init(_ engine: Engine, seed: UInt64 = 1, configure: (inout NamespaceConfiguration) -> Void = { _ in })
    throws
  {
    self.engine = engine
    service = MemoryLedgerService(faults: .many, seed: seed)
    directory = engine == .rocksDB ? try TemporaryDirectory("dfs-metadata") : nil
    configuration.elapsed = { [clock] in clock.now.offset }
    configuration.wallTime = { Self.start }
    // Most tests are about what comes after it.
    configuration.trashRetention = .zero
    configure(&configuration)
    store = try Self.makeStore(directory)
    namespace = try Self.open(store, engine, service, configuration)
  }

  private static func makeStore(_ directory: TemporaryDirectory?) throws -> any OrderedStore {
    guard let directory else { return MemoryStore() }
    return try RocksDBStore(
      path: directory.path + "/store", options: RocksDBOptions(cache: RocksDBCache(capacity: .mib(8))))
  }

  private static func open(
    _ store: any OrderedStore, _ engine: Engine, _ service: MemoryLedgerService,
    _ configuration: NamespaceConfiguration
  ) throws -> Namespace {
    let ledger: any Ledger = engine == .rocksDB ? StandaloneLedger() : MemoryLedger(service)
    return try Namespace.open(store: store, ledger: ledger, configuration: configuration, logger: Self.logger)
  }

  static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// Ends the process and starts another one: what was only buffered locally is gone.
  func restart() async throws {
    await namespace.close()
    if let memory = store as? MemoryStore {
      store = memory.afterCrash()
    } else {
      store.close()
      store = try Self.makeStore(directory)
    }
    namespace = try Self.open(store, engine, service, configuration)
  }

  /// Ends the namespace and checks that its records add up.
  func finish() async throws {
    try namespace.view().checkDigest()
    await namespace.close()
    store.close()
  }
}

// Short words for what tests do all the time.
extension TestCluster {
  func path(_ text: String) -> RemotePath {
    do { return try RemotePath(text) } catch { preconditionFailure("\(error)") }
  }

  var attributes: FileAttributes { FileAttributes(mode: 0o644, modified: Self.start) }

  @discardableResult
  func put(
    _ path: String, _ bytes: [UInt8] = [], _ precondition: WritePrecondition = .none, id: RequestID? = nil
  ) async throws -> Settled<WriteReceipt> {
    let mutation = PutInline(
      target: self.path(path), attributes: attributes, precondition: precondition, bytes: bytes,
      root: digest(1))
    return try await namespace.mutate(mutation, id: id)
  }

  @discardableResult
  func mkdir(_ path: String, _ parents: MakeDirectory.Parents = .mustExist) async throws
    -> MakeDirectory.Outcome
  {
    let mutation = MakeDirectory(path: self.path(path), parents: parents, attributes: attributes)
    return try await namespace.mutate(mutation).outcome
  }

  @discardableResult
  func remove(
    _ path: String, _ scope: Remove.Scope = .fileOrEmptyDirectory, _ disposal: Disposal = .trash
  ) async throws -> Remove.Outcome {
    try await namespace.mutate(Remove(path: self.path(path), scope: scope, disposal: disposal)).outcome
  }

  @discardableResult
  func undelete(_ deletion: DeletionID, to target: String? = nil) async throws -> Undelete.Outcome {
    try await namespace.mutate(Undelete(deletion: deletion, target: target.map { path($0) })).outcome
  }

  @discardableResult
  func purge(_ deletion: DeletionID) async throws -> Bool {
    try await namespace.mutate(PurgeTrash(deletion: deletion)).outcome.isPurged
  }

  /// Everything in the trash at or below a path.
  func trash(_ path: String = "/", limit: Int = 1000) throws -> [TrashEntry] {
    var entries: [TrashEntry] = []
    var after: DeletionID?
    repeat {
      let page = try namespace.view().trash(below: self.path(path), after: after, limit: limit)
      entries += page.entries
      after = page.next
    } while after != nil
    return entries
  }

  /// Ends the time of what has expired, as the job does.
  @discardableResult
  func purgeExpired() async throws -> Int {
    var purged = 0
    while true {
      let expired = try namespace.expiredTrash(limit: 7)
      if expired.isEmpty { return purged }
      for deletion in expired where try await purge(deletion) { purged += 1 }
    }
  }

  @discardableResult
  func rename(
    _ source: String, _ target: String, _ existing: Rename.Existing = .refuse
  ) async throws -> Rename.Outcome {
    let mutation = Rename(source: path(source), target: path(target), existing: existing)
    return try await namespace.mutate(mutation).outcome
  }

  func stat(_ path: String) throws -> EntryStatus { try namespace.view().stat(self.path(path)) }

  /// The names directly in a directory.
  func names(_ path: String) throws -> [String] {
    try namespace.list(ListRequest(path: self.path(path))).entries.map { $0.path.name?.description ?? "/" }
  }

  var revision: Revision { namespace.revision }
}

// Nodes, groups and uploads.
extension TestCluster {
  /// Registers nodes 1...count, and opens `groups` groups of `replicas` members in turn.
  func form(nodes: Int = 3, groups: Int = 4, replicas: UInt8 = 3) async throws {
    for number in 1...nodes { try await namespace.mutate(PutNode(node: node(UInt64(number)))) }
    for first in stride(from: 0, to: groups, by: Limits.groupsPerChange) {
      let changes = (first..<min(first + Limits.groupsPerChange, groups)).map { number in
        ChangeGroups.Change(
          id: GroupID(rawValue: UInt32(number)), expected: nil, policy: PlacementPolicy(replicas: replicas),
          slots: (0..<Int(replicas)).map { slot in
            let member = (number + slot) % nodes + 1
            return slot < nodes ? GroupSlot(node: NodeID(rawValue: UInt64(member)), state: .full) : .vacant
          })
      }
      try await namespace.mutate(ChangeGroups(changes: changes))
    }
  }

  func node(_ number: UInt64, _ state: NodeState = .active) -> ClusterNode {
    ClusterNode(
      id: NodeID(rawValue: number), store: StoreID(rawValue: number), boot: BootID(rawValue: 1),
      endpoints: [Endpoint(host: "127.0.0.1", port: 7000)], zone: "zone-\(number)", capacity: .gib(1),
      state: state,
      receiptKey: Array(repeating: 7, count: 32))
  }

  func group(_ number: UInt32) throws -> PlacementGroup {
    guard let group = try namespace.view().group(GroupID(rawValue: number)) else {
      throw DFSError(.notFound, "no group \(number)")
    }
    return group
  }

  func begin(
    _ path: String, chunks: Int, _ precondition: WritePrecondition = .none, groups: Int = 4,
    id: RequestID? = nil
  ) async throws -> BeginUpload.Outcome {
    let mutation = BeginUpload(
      target: self.path(path), attributes: attributes, precondition: precondition, chunkSize: smallChunks,
      groups: (0..<chunks).map { GroupID(rawValue: UInt32($0 % groups)) })
    return try await namespace.mutate(mutation, id: id).outcome
  }

  /// Full chunks with these indices, acknowledged by `holders`, just now or at an epoch of their groups.
  func stored(
    _ indices: some Sequence<UInt32>, holders: [UInt64] = [1, 2, 3], at epoch: UInt64 = .max,
    last: UInt32? = nil
  ) -> [StoredChunk] {
    var chunks = indices.map { index in
      StoredChunk(
        index: index, length: UInt32(smallChunks.bytes), root: digest(UInt8(truncatingIfNeeded: index)),
        holders: holders.map { StoredChunk.Holder($0, at: epoch) })
    }
    if let last, !chunks.isEmpty { chunks[chunks.count - 1].length = last }
    return chunks
  }

  func commit(
    _ upload: UploadID, _ final: [StoredChunk], sealed: Int = 0, id: RequestID? = nil
  ) async throws -> CommitUpload.Outcome {
    let length = sealed * smallChunks.bytes + final.reduce(0) { $0 + Int($1.length) }
    let mutation = CommitUpload(
      upload: upload, final: final, chunkCount: UInt64(sealed + final.count), length: ByteCount(length),
      root: digest(9))
    return try await namespace.mutate(mutation, id: id).outcome
  }

  /// Begins and commits a file of so many chunks, at most 512.
  @discardableResult
  func upload(_ path: String, chunks: Int, groups: Int = 4) async throws -> InodeID {
    let upload = try await begin(path, chunks: chunks, groups: groups).upload
    guard case .committed(let receipt) = try await commit(upload, stored(0..<UInt32(chunks))) else {
      throw DFSError(.internal, "the commit wants chunks again")
    }
    return receipt.inode
  }

  /// Reaps everything whose time has come; gives the chunks, and how many steps it took.
  @discardableResult
  func reapAll() async throws -> (chunks: [CondemnedChunk], steps: Int) {
    var chunks: [CondemnedChunk] = []
    var steps = 0
    while let page = try namespace.nextCondemned() {
      chunks += page.chunks
      steps += 1
      try await namespace.mutate(Reap(page: page))
    }
    return (chunks, steps)
  }

  /// What a restore does; seen after a restart.
  func hold() throws {
    guard let bytes = try store.value(for: Keys.cluster) else { return }
    var record = try ClusterRecord(stored: bytes)
    record.isHeld = true
    var batch = WriteBatch()
    batch.put(Keys.cluster, record.encoded)
    try store.apply(batch, durability: .synced)
  }

  /// How many records of a kind the store holds.
  func count(_ letter: Character) throws -> Int {
    var count = 0
    try store.scan(KeyRange(prefix: Array("\(letter)/".utf8))) { _, _ in
      count += 1
      return .goOn
    }
    return count
  }
}

extension StoredChunk.Holder {
  init(_ node: UInt64, at epoch: UInt64 = .max) {
    self.init(node: NodeID(rawValue: node), epoch: GroupEpoch(rawValue: epoch))
  }
}

let smallChunks: ChunkSize = ChunkSize(bytes: ChunkSize.smallest) ?? .standard

func digest(_ byte: UInt8) -> Digest {
  guard let digest = Digest([UInt8](repeating: byte, count: 32)) else { preconditionFailure("32 bytes") }
  return digest
}

/// The code of the error that `body` throws; `nil` when it throws none.
func code(_ body: () async throws -> some Any) async -> DFSError.Code? {
  do {
    _ = try await body()
    return nil
  } catch { return (error as? DFSError)?.code ?? .internal }
}
