import CRocksDB
package import DFSCore
import Glibc
import Synchronization

/// The ordered store on RocksDB. Concurrent synced batches share one sync (RocksDB's group commit).
///
/// Invariant: after a write whose outcome is unknown, every later write throws `.outcomeUnknown` until the
/// store is opened again: a page that failed to reach the disk is clean in the kernel's eyes, so a second
/// sync would lie.
package final class RocksDBStore: OrderedStore, @unchecked Sendable {
  // SAFETY: `handle` is replaced under the write lock and used under the read lock; `lock` is allocated once,
  // at an address that does not move, and freed in `deinit`, when nobody can hold it.
  private let lock: UnsafeMutablePointer<pthread_rwlock_t>
  private var handle: RocksDBHandle?
  private let closing = Atomic<Bool>(false)
  private let broken = Mutex<DFSError?>(nil)
  package let path: String

  /// Opens, or creates, the store in the directory `path`. Throws `.corrupt` (a damaged log or manifest),
  /// `.unavailable` (another process has it open, or it can not be read), `.notFound` and `.exhausted`.
  package init(path: String, options: RocksDBOptions) throws {
    self.path = path
    let handle = try RocksDBHandle(path: path, options: options)
    self.handle = handle
    lock = .allocate(capacity: 1)
    pthread_rwlock_init(lock, nil)
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }

  /// Why the store refuses writes, when it does.
  package var refusal: DFSError? { broken.withLock { $0 } }

  package func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? {
    try open { try $0.withValue(for: key, options: $0.plainRead, body) }
  }

  package func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws {
    try open { try $0.scan(range, body) }
  }

  package func apply(_ batch: WriteBatch, durability: Durability) throws {
    try open { handle in
      if let refusal { throw refusal }
      let records = rocksdb_writebatch_create()
      defer { rocksdb_writebatch_destroy(records) }
      for change in batch.changes { Self.add(change, to: records) }
      do {
        try RocksDBFailure.check(.write, path: path) {
          rocksdb_write(handle.database, durability == .synced ? handle.synced : handle.buffered, records, $0)
        }
      } catch let error as DFSError where error.code == .outcomeUnknown {
        broken.withLock {
          $0 = $0 ?? DFSError(.outcomeUnknown, error.message + "; no more writes until it is opened again")
        }
        throw error
      }
    }
  }

  package func snapshot(_ tier: ReadTier) -> any StoreReader {
    do { return try open(tier) { RocksDBSnapshot($0, tier) } } catch { return FailingReader(error: error) }
  }

  package func checkpoint(into directory: String) throws {
    try open { handle in
      guard access(directory, F_OK) != 0 else {
        throw DFSError(.alreadyExists, "\(directory) exists: a checkpoint makes its own directory")
      }
      let checkpoint = try RocksDBFailure.check(.maintenance, path: path) {
        rocksdb_checkpoint_object_create(handle.database, $0)
      }
      defer { rocksdb_checkpoint_object_destroy(checkpoint) }
      try RocksDBFailure.check(.maintenance, path: path) {
        rocksdb_checkpoint_create(checkpoint, directory, 0, $0)
      }
    }
  }

  package func compact(_ range: KeyRange) throws {
    try flush()
    try open { handle in
      try handle.setBlobCollection(.on)
      defer { try? handle.setBlobCollection(.off) }
      let options = rocksdb_compactoptions_create()
      defer { rocksdb_compactoptions_destroy(options) }
      // The bottommost level too: garbage in blob files is collected only where keys are rewritten.
      rocksdb_compactoptions_set_bottommost_level_compaction(options, 2)
      rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0)
      withCharacters(range.start) { start, startCount in
        withCharacters(range.end ?? []) { end, endCount in
          rocksdb_compact_range_opt(
            handle.database, options, start, startCount, range.end == nil ? nil : end, endCount)
        }
      }
      try throwBackgroundErrors(handle)
    }
  }

  /// Writes the memtables to tables, so that their logs can go.
  package func flush() throws {
    try open { handle in
      let options = rocksdb_flushoptions_create()
      defer { rocksdb_flushoptions_destroy(options) }
      rocksdb_flushoptions_set_wait(options, 1)
      try RocksDBFailure.check(.maintenance, path: path) { rocksdb_flush(handle.database, options, $0) }
    }
  }

  /// Tables and blob files, those of old versions included; the logs, which are bounded, are not.
  package func usedSpace() throws -> ByteCount {
    try open { handle in
      let parts = ["rocksdb.total-sst-files-size", "rocksdb.total-blob-file-size"]
      return ByteCount(parts.reduce(0) { $0 + (Self.property($1, of: handle) ?? 0) })
    }
  }

  /// About how many keys there are: exact after a compaction of a store without deletions.
  package func estimatedKeyCount() throws -> Int {
    try open { Int(Self.property("rocksdb.estimate-num-keys", of: $0) ?? 0) }
  }

  /// Memtables and pinned tables; the shared cache is not counted.
  package func usedMemory() throws -> ByteCount {
    try open { handle in
      let parts = ["rocksdb.cur-size-all-mem-tables", "rocksdb.estimate-table-readers-mem"]
      return ByteCount(parts.reduce(0) { $0 + (Self.property($1, of: handle) ?? 0) })
    }
  }

  package func close() {
    closing.store(true, ordering: .sequentiallyConsistent)
    pthread_rwlock_wrlock(lock)
    handle = nil
    pthread_rwlock_unlock(lock)
  }

  private func open<Result>(
    _ tier: ReadTier = .memoryAndDisk, _ body: (RocksDBHandle) throws -> Result
  ) throws -> Result {
    guard !closing.load(ordering: .sequentiallyConsistent) else { throw closedError }
    switch tier {
    case .memoryAndDisk: pthread_rwlock_rdlock(lock)
    // A loop does not wait for the store to close.
    case .memory: guard pthread_rwlock_tryrdlock(lock) == 0 else { throw NotInMemory() }
    }
    defer { pthread_rwlock_unlock(lock) }
    guard let handle else { throw closedError }
    return try body(handle)
  }

  private var closedError: DFSError { DFSError(.unavailable, "the key-value store in \(path) is closed") }

  private func throwBackgroundErrors(_ handle: RocksDBHandle) throws {
    guard let count = Self.property("rocksdb.background-errors", of: handle), count > 0 else { return }
    throw DFSError(
      .corrupt, "the key-value store in \(path) has \(count) background errors; see its LOG file")
  }

  private static func property(_ name: String, of handle: RocksDBHandle) -> UInt64? {
    var value: UInt64 = 0
    return rocksdb_property_int(handle.database, name, &value) == 0 ? value : nil
  }

  private static func add(_ change: WriteBatch.Change, to records: OpaquePointer?) {
    switch change {
    case .put(let key, let value):
      withCharacters(key) { key, keyCount in
        withCharacters(value) { rocksdb_writebatch_put(records, key, keyCount, $0, $1) }
      }
    case .delete(let key):
      withCharacters(key) { rocksdb_writebatch_delete(records, $0, $1) }
    case .deleteRange(let range):
      withCharacters(range.start) { start, startCount in
        withCharacters(range.end ?? []) {
          rocksdb_writebatch_delete_range(records, start, startCount, $0, $1)
        }
      }
    }
  }
}

/// A snapshot that could not be made.
private struct FailingReader: StoreReader {
  let error: any Error

  func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? { throw error }

  func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws { throw error }
}
