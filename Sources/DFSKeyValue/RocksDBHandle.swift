import CRocksDB
import DFSCore
import Synchronization

/// One open RocksDB database and the option objects of its calls. Closed with its last reference, so a
/// snapshot that outlives its store never reads freed memory.
final class RocksDBHandle: @unchecked Sendable {
  // SAFETY: RocksDB's own calls are thread-safe; the pointers never change before `deinit`.
  let database: OpaquePointer
  let path: String
  let synced: OpaquePointer?
  let buffered: OpaquePointer?
  let plainRead: OpaquePointer?
  private let hasBlobs: Bool

  enum BlobCollection: String {
    case on = "true"
    case off = "false"
  }

  init(path: String, options: RocksDBOptions) throws {
    self.path = path
    hasBlobs = options.blobs != nil
    let pointer = options.makePointer()
    defer { rocksdb_options_destroy(pointer) }
    let database = try RocksDBFailure.check(.open, path: path) { rocksdb_open(pointer, path, $0) }
    guard let database else { throw DFSError(.unavailable, "can not open the key-value store in \(path)") }
    self.database = database
    // Made only now: `deinit` does not run for an initializer that throws.
    synced = rocksdb_writeoptions_create()
    buffered = rocksdb_writeoptions_create()
    plainRead = rocksdb_readoptions_create()
    rocksdb_writeoptions_set_sync(synced, 1)
    rocksdb_readoptions_set_verify_checksums(plainRead, options.readChecks == .engine ? 1 : 0)
  }

  deinit {
    rocksdb_writeoptions_destroy(synced)
    rocksdb_writeoptions_destroy(buffered)
    rocksdb_readoptions_destroy(plainRead)
    rocksdb_close(database)
  }

  /// Whether the compactions that begin from now on copy living blobs out of old files.
  func setBlobCollection(_ collection: BlobCollection) throws {
    guard hasBlobs else { return }
    try "enable_blob_garbage_collection".withCString { name in
      try collection.rawValue.withCString { value in
        var (names, values): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (name, value)
        try RocksDBFailure.check(.maintenance, path: path) {
          rocksdb_set_options(database, 1, &names, &values, $0)
        }
      }
    }
  }

  func withValue<Result>(
    for key: [UInt8], options: OpaquePointer?, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? {
    let pinned = try RocksDBFailure.check(.read, path: path) { error in
      withCharacters(key) { rocksdb_get_pinned(database, options, $0, $1, error) }
    }
    guard let pinned else { return nil }
    defer { rocksdb_pinnableslice_destroy(pinned) }
    var length = 0
    let bytes = rocksdb_pinnableslice_value(pinned, &length)
    // SAFETY: RocksDB keeps the slice's bytes in place until it is destroyed, after `body`.
    return try body(UnsafeRawBufferPointer(start: bytes, count: length))
  }

  /// `snapshot` is nil for the present state. An iterator sees one state in either case.
  func scan(
    _ range: KeyRange, snapshot: OpaquePointer? = nil, tier: ReadTier = .memoryAndDisk,
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws {
    let options = rocksdb_readoptions_create()
    defer { rocksdb_readoptions_destroy(options) }
    if let snapshot { rocksdb_readoptions_set_snapshot(options, snapshot) }
    rocksdb_readoptions_set_read_tier(options, tier.number)
    // SAFETY: the iterator reads the bound through its pointer, so the array is pinned for the whole scan.
    try withCharacters(range.end ?? []) { end, count in
      if range.end != nil { rocksdb_readoptions_set_iterate_upper_bound(options, end, count) }
      let iterator = rocksdb_create_iterator(database, options)
      defer { rocksdb_iter_destroy(iterator) }
      withCharacters(range.start) { rocksdb_iter_seek(iterator, $0, $1) }
      while rocksdb_iter_valid(iterator) != 0 {
        var (keyLength, valueLength) = (0, 0)
        let key = rocksdb_iter_key(iterator, &keyLength)
        let value = rocksdb_iter_value(iterator, &valueLength)
        let step = try body(
          UnsafeRawBufferPointer(start: key, count: keyLength),
          UnsafeRawBufferPointer(start: value, count: valueLength))
        guard step == .goOn else { return }
        rocksdb_iter_next(iterator)
      }
      try RocksDBFailure.check(.read, path: path) { rocksdb_iter_get_error(iterator, $0) }
    }
  }
}

/// The state of a RocksDB store at one moment. Holds back the deletion of old values while it lives.
final class RocksDBSnapshot: StoreReader, @unchecked Sendable {
  // SAFETY: a snapshot is read-only, its calls are thread-safe, and the handle outlives it.
  private let handle: RocksDBHandle
  private let snapshot: OpaquePointer?
  private let tier: ReadTier
  private let reads = Atomic(0)
  private let options = rocksdb_readoptions_create()

  init(_ handle: RocksDBHandle, _ tier: ReadTier) {
    self.handle = handle
    self.tier = tier
    snapshot = rocksdb_create_snapshot(handle.database)
    rocksdb_readoptions_set_snapshot(options, snapshot)
    rocksdb_readoptions_set_read_tier(options, tier.number)
  }

  deinit {
    rocksdb_readoptions_destroy(options)
    rocksdb_release_snapshot(handle.database, snapshot)
  }

  func withValue<Result>(
    for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result? {
    try countRead()
    return try handle.withValue(for: key, options: options) { value in
      // A table that is not open answers OK and nothing at all when it may not be opened (RocksDB 7.8, mended in 9.1:
      // facebook/rocksdb#12443). A record that is empty indeed is only read twice.
      if tier == .memory, value.isEmpty { throw NotInMemory() }
      try countBytes(value.count)
      return try body(value)
    }
  }

  func scan(
    _ range: KeyRange, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> ScanStep
  ) throws {
    try countRead()
    try handle.scan(range, snapshot: snapshot, tier: tier) { key, value in
      try countRead()
      try countBytes(value.count)
      return try body(key, value)
    }
  }

  /// Throws where an event loop has had enough.
  private func countRead() throws { try count(1) }
  private func countBytes(_ bytes: Int) throws { try count(bytes / 256) }

  private func count(_ units: Int) throws {
    guard tier == .memory else { return }
    guard reads.add(units, ordering: .relaxed).newValue <= ReadTier.memoryReads else { throw NotInMemory() }
  }
}

extension ReadTier {
  /// `rocksdb::ReadTier`.
  fileprivate var number: Int32 {
    switch self {
    case .memoryAndDisk: 0
    case .memory: 1
    }
  }
}

/// The bytes as C characters; the pointer is valid during the call only and never null.
func withCharacters<Result>(
  _ bytes: [UInt8], _ body: (UnsafePointer<CChar>, Int) throws -> Result
) rethrows -> Result {
  try bytes.withUnsafeBytes { buffer in
    // SAFETY: the bytes are read only, as characters of the same size; an empty array gets a valid address.
    guard let start = buffer.baseAddress else {
      return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1) { empty in
        empty.initialize(repeating: 0)
        guard let start = empty.baseAddress else { preconditionFailure("a buffer of one has an address") }
        return try body(UnsafePointer(start), 0)
      }
    }
    return try body(start.assumingMemoryBound(to: CChar.self), buffer.count)
  }
}
