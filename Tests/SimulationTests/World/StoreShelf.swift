import DFSCodec
import DFSCore
import DFSCrypto
import DFSKeyValue
import Synchronization

@testable import DFSChunkStore

/// A real chunk store under a disk of the world: the product's `LocalChunkStore` over a file system and an
/// ordered store in memory. The power may fail between any two of its calls; then what was not synced is gone,
/// or not, as chance has it.
///
/// Beside it the `Disk` remembers what the store has promised: the checkers go by that.
final class StoreShelf {
  struct Place: Hashable {
    var chunk: ChunkID
    var group: GroupID
  }

  /// What a machine without power does with every call.
  private final class Power: Sendable {
    private let calls = Atomic<Int>(.max)
    var isOff: Bool { calls.load(ordering: .relaxed) <= 0 }
    func fail(after count: Int) { calls.store(count, ordering: .relaxed) }
    func use() throws {
      if calls.load(ordering: .relaxed) == .max { return }
      guard calls.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 else {
        throw DFSError(.unavailable, "the power is off")
      }
    }
  }

  /// Where the store of small chunks lies.
  private final class Medium: Sendable {
    private struct State {
      var store: MemoryStore
      var isBroken = false
    }
    private let state: Mutex<State>
    private let power: Power
    init(_ store: MemoryStore, _ power: Power) {
      state = Mutex(State(store: store))
      self.power = power
    }

    func open(_ path: String, on files: MemoryFileSystem) throws -> any OrderedStore {
      try files.makeDirectory(path)
      return try state.withLock { state in
        if state.isBroken {
          state = State(store: MemoryStore())
          throw DFSError(.corrupt, "the log of the small chunks is damaged")
        }
        return Powered(store: state.store, power: power)
      }
    }
    func spoil() { state.withLock { $0.isBroken = true } }
    func afterCrash() -> MemoryStore { state.withLock { $0.store.afterCrash() } }
    var present: MemoryStore { state.withLock { $0.store } }
  }

  /// A memory store that lives on when the chunk store over it is closed, and stops without power.
  private struct Powered: OrderedStore {
    let store: MemoryStore
    let power: Power
    func withValue<Result>(
      for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? { try store.withValue(for: key, body) }
    func scan(
      _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
    ) throws { try store.scan(range, body) }
    func apply(_ batch: WriteBatch, durability: Durability) throws {
      try power.use()
      try store.apply(batch, durability: durability)
    }
    func snapshot(_ tier: ReadTier) -> any StoreReader { store.snapshot(tier) }
    func checkpoint(into directory: String) throws { try store.checkpoint(into: directory) }
    func compact(_ range: KeyRange) throws { try store.compact(range) }
    func usedSpace() throws -> ByteCount { try store.usedSpace() }
    func close() {}
  }

  static let smallChunkLimit = ByteCount.kib(32)
  private var files: MemoryFileSystem
  private var medium: Medium
  private var power = Power()
  private var directory: DataDirectory?
  private var store: LocalChunkStore?
  /// What was being written or deleted when the power went: both outcomes are right.
  private(set) var uncertain: Set<Place> = []

  init() {
    files = MemoryFileSystem()
    medium = Medium(MemoryStore(), power)
  }

  private init(_ files: MemoryFileSystem, _ small: MemoryStore, _ uncertain: Set<Place>) {
    self.files = files
    medium = Medium(small, power)
    self.uncertain = uncertain
  }

  /// What would be found if the power went now, in the worst case: only what was synced.
  func copyAfterCrash() -> StoreShelf { StoreShelf(files.afterCrash(), medium.afterCrash(), uncertain) }

  // MARK: The life of a process

  /// A process begins. Throws what opening a store throws.
  func open() throws -> OpenReport {
    let (files, power) = (files, power)
    files.setHook { _ in
      do { try power.use() } catch { return .fail(DFSError(.unavailable, "the power is off")) }
      return .proceed
    }
    let directory = try DataDirectory(path: "/data", fileSystem: files)
    var options = LocalChunkStoreOptions(smallChunks: { [medium] in try medium.open($0, on: files) })
    options.smallChunkLimit = Self.smallChunkLimit
    options.reserve = .mib(1)
    options.openFiles = 4
    let store = try LocalChunkStore(in: directory, options: options)
    (self.directory, self.store) = (directory, store)
    return store.openReport
  }

  /// The process is gone; with `losesPower`, or when it was off already, also what was not synced.
  func close(losesPower: Bool, using random: inout some RandomNumberGenerator) {
    let losesPower = losesPower || power.isOff
    power.fail(after: .max)
    store?.close()
    directory?.close()
    (store, directory) = (nil, nil)
    guard losesPower else { return }
    power = Power()
    files = files.afterCrash(using: &random)
    medium = Medium(medium.afterCrash(), power)
  }

  func failPower(after calls: Int) { power.fail(after: calls) }
  var isWithoutPower: Bool { power.isOff }
  var isOpen: Bool { store != nil }
  var hasLostChunks: Bool { directory?.hasLostChunks ?? false }
  func toldLostChunks() { try? directory?.forgetLostChunks() }
  func adopt(_ cluster: ClusterID) { try? directory?.adopt(cluster) }
  func settled() { uncertain = [] }

  // MARK: What the process does

  private func opened() throws -> LocalChunkStore {
    guard let store else { throw DFSError(.unavailable, "no process has the store open") }
    return store
  }

  private func atRisk<Result>(
    _ chunks: [ChunkID], in group: GroupID, _ body: (LocalChunkStore) throws -> Result
  ) throws -> Result {
    do { return try body(try opened()) } catch {
      if power.isOff { uncertain.formUnion(chunks.map { Place(chunk: $0, group: group) }) }
      throw error
    }
  }

  func write(_ chunk: ChunkID, in group: GroupID, _ content: ChunkContent) throws {
    try atRisk([chunk], in: group) { store in
      let writer = try store.begin(
        ChunkPlan(chunk: chunk, group: group, largestLength: content.bytes.count))
      defer { writer.abort() }
      try content.bytes.withUnsafeBytes { payload in
        try content.leaves.withUnsafeBytes {
          try writer.append(payload, checksums: [CRC32C.checksum(payload)], leaves: $0)
        }
      }
      _ = try writer.finish(length: content.bytes.count, root: content.root)
    }
  }

  func delete(_ chunk: ChunkID, in group: GroupID) throws {
    _ = try atRisk([chunk], in: group) { try $0.delete([chunk], in: group) }
  }

  func quarantine(_ chunk: ChunkID, in group: GroupID) throws {
    try atRisk([chunk], in: group) { try $0.quarantine(chunk, in: group) }
  }

  /// The root of what is there; throws `.corrupt` for a damaged footer.
  func root(of chunk: ChunkID, in group: GroupID) throws -> Digest? {
    try opened().stat(chunk, in: group)?.root
  }

  /// Reads every byte as a reader does. Throws `.notFound` and `.corrupt`.
  func read(_ chunk: ChunkID, in group: GroupID, root: Digest) throws {
    let reader = try opened().open(chunk, in: group)
    guard reader.description.root == root else {
      throw DFSError(.corrupt, "chunk \(chunk) has another root")
    }
    var bytes = [UInt8](repeating: 0, count: reader.description.length)
    try bytes.withUnsafeMutableBytes { try reader.read(0..<reader.checksums.count, into: $0) }
  }

  func verify(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription {
    try opened().verify(chunk, in: group)
  }
  func list(_ group: GroupID, after chunk: ChunkID?, limit: Int) throws -> ChunkPage {
    try opened().list(group, after: chunk, limit: limit)
  }
  func groups() throws -> [GroupID] { try opened().groups() }

  /// Whether the chunk is good on the medium, whatever the process remembers.
  func isSoundOnDisk(_ chunk: ChunkID, in group: GroupID) -> Bool {
    let copy = copyAfterCrash()
    return (try? copy.open()) != nil && (try? copy.verify(chunk, in: group)) != nil
  }

  // MARK: Faults

  private func path(_ chunk: ChunkID, _ group: GroupID) -> String {
    "/data/chunks/\(ChunkFileName.name(group))/\(ChunkFileName.name(chunk))"
  }

  /// A byte of the payload changes on the medium. False where the chunk has no file.
  func flip(_ chunk: ChunkID, in group: GroupID, at offset: Int) -> Bool {
    (try? files.flip(path(chunk, group), at: offset)) != nil
  }

  /// Its file is cut short.
  func truncate(_ chunk: ChunkID, in group: GroupID, to length: Int) -> Bool {
    (try? files.truncate(path(chunk, group), to: length)) != nil
  }

  /// Its file is removed behind the store's back.
  func unlink(_ chunk: ChunkID, in group: GroupID) -> Bool {
    guard !power.isOff, (try? files.remove(path(chunk, group))) != nil else { return false }
    return (try? files.syncDirectory("/data/chunks/\(ChunkFileName.name(group))")) != nil
  }

  /// Its small chunks do not open any more.
  func spoilSmallChunks() { medium.spoil() }
}

/// The bytes of a chunk, made of a number.
struct ChunkContent {
  var bytes: [UInt8]
  var leaves: [UInt8]
  var root: Digest

  init(_ number: UInt64, length: Int) {
    bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number >> 8), count: length)
    for index in 0..<min(8, length) {
      bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(index)))
    }
    let digests = bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) }
    leaves = digests.flatMap(\.bytes)
    root = MerkleTree.root(of: digests)
  }
}
