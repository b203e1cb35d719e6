import DFSChunkStore
import DFSCore
import DFSKeyValue
import Foundation
import Synchronization
import TestSupport
import Testing

/// The implementations that the conformance suite runs on.
enum StoreUnderTest: String, CaseIterable, Sendable, CustomTestStringConvertible {
  /// Real files and RocksDB.
  case disk
  /// The same code over file system and ordered store in memory.
  case memory

  var testDescription: String { rawValue }

  func withStore(_ body: (any ChunkStore) throws -> Void) throws {
    switch self {
    case .disk:
      let temporary = try TemporaryDirectory("dfs-chunks")
      let store = try Self.openDisk(temporary.path + "/data")
      defer { store.close() }
      try body(store)
    case .memory:
      let machine = MemoryMachine()
      let store = try machine.open()
      defer { store.close() }
      try body(store)
    }
  }

  static func openDisk(_ path: String, reserve: ByteCount = .mib(1)) throws -> LocalChunkStore {
    var options = LocalChunkStoreOptions(cache: RocksDBCache(capacity: .mib(4)))
    options.reserve = reserve
    options.compactionThreshold = .mib(1)
    return try LocalChunkStore(in: DataDirectory(path: path), options: options)
  }
}

/// A machine in memory: its disk, and the ordered store that would be on it. A crash takes what was not
/// synced of both.
final class MemoryMachine: Sendable {
  let disk: MemoryFileSystem
  let small: MemoryStore
  /// The store of small chunks finds no space to write.
  let isSmallFull = Atomic<Bool>(false)

  init(disk: MemoryFileSystem = MemoryFileSystem(), small: MemoryStore = MemoryStore()) {
    self.disk = disk
    self.small = small
  }

  func directory() throws -> DataDirectory { try DataDirectory(path: "/data", fileSystem: disk) }

  func open(
    _ directory: DataDirectory? = nil, reserve: ByteCount = .mib(1), openFiles: Int = 4
  ) throws -> LocalChunkStore {
    var options = LocalChunkStoreOptions(smallChunks: { [self] _ in Uncloseable(self) })
    options.reserve = reserve
    options.openFiles = openFiles
    return try LocalChunkStore(in: directory ?? self.directory(), options: options)
  }
}

/// Lets a memory store live on when the chunk store over it is closed, as a disk does.
private struct Uncloseable: OrderedStore {
  let machine: MemoryMachine
  var store: MemoryStore { machine.small }
  init(_ machine: MemoryMachine) { self.machine = machine }

  func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? { try store.withValue(for: key, body) }
  func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws { try store.scan(range, body) }
  func apply(_ batch: WriteBatch, durability: Durability) throws {
    if machine.isSmallFull.load(ordering: .relaxed) { throw DFSError(.exhausted, "no space, for a test") }
    try store.apply(batch, durability: durability)
  }
  func snapshot(_ tier: ReadTier) -> any StoreReader { store.snapshot(tier) }
  func checkpoint(into directory: String) throws { try store.checkpoint(into: directory) }
  func compact(_ range: KeyRange) throws { try store.compact(range) }
  func usedSpace() throws -> ByteCount { try store.usedSpace() }
  func close() {}
}
