import CRocksDB
package import DFSCore

/// A block cache that several RocksDB stores of one process share, so that its size is a budget of the
/// process.
package final class RocksDBCache: @unchecked Sendable {
  // SAFETY: RocksDB's LRU cache locks itself; the pointer never changes.
  let pointer: OpaquePointer?
  package let capacity: ByteCount

  package init(capacity: ByteCount) {
    self.capacity = capacity
    pointer = rocksdb_cache_create_lru(capacity.int)
  }

  deinit { rocksdb_cache_destroy(pointer) }
}

/// How a RocksDB store is opened. The defaults bound its memory to about the cache plus three memtables of 8
/// MiB.
package struct RocksDBOptions: Sendable {
  /// Values at least `smallest` long go to blob files, where compaction of keys does not move them. Only
  /// `compact(_:)` collects their garbage: RocksDB's own compactions would copy a large part of all blobs
  /// each time.
  package struct Blobs: Sendable {
    package var smallest = ByteCount.kib(1)
    package var fileSize = ByteCount.mib(64)
    package init() {}
  }

  package enum Opening: Sendable {
    case createIfMissing
    /// Throws `.notFound` when there is no store yet.
    case mustExist
  }

  /// Who finds a rotten byte in a value. RocksDB's CRC is computed in software on Debian: 40 µs for 64 KiB.
  package enum ReadChecks: Sendable {
    case engine
    /// The values carry checksums of their own, which the caller compares at every read.
    case caller
  }

  package var cache: RocksDBCache
  package var memtableSize = ByteCount.mib(8)
  package var memtables = 3
  /// `nil`: every value lies in the tables.
  package var blobs: Blobs?
  package var openFiles = 256
  package var readChecks = ReadChecks.engine
  package var opening = Opening.createIfMissing

  package init(cache: RocksDBCache) { self.cache = cache }

  /// A new `rocksdb_options_t`, which the caller destroys.
  func makePointer() -> OpaquePointer? {
    let options = rocksdb_options_create()
    rocksdb_options_set_create_if_missing(options, opening == .createIfMissing ? 1 : 0)
    // Mode 2, the default, opens after a flipped byte in the log with the records behind it gone, and says
    // nothing. Mode 0 tolerates a torn tail and refuses everything else.
    rocksdb_options_set_wal_recovery_mode(options, 0)
    rocksdb_options_set_paranoid_checks(options, 1)
    rocksdb_options_set_write_buffer_size(options, memtableSize.int)
    rocksdb_options_set_max_write_buffer_number(options, Int32(memtables))
    rocksdb_options_set_db_write_buffer_size(options, memtableSize.int * memtables)
    rocksdb_options_set_max_total_wal_size(options, UInt64(memtableSize.int * memtables * 2))
    rocksdb_options_set_max_open_files(options, Int32(openFiles))
    rocksdb_options_set_max_background_jobs(options, 2)
    // Whoever reads last from a memtable that was written to disk leaves freeing it to others: a reader may be a loop.
    rocksdb_options_set_avoid_unnecessary_blocking_io(options, 1)
    // Followers of a group commit would spin for up to 100 µs while the leader waits for the disk.
    rocksdb_options_set_enable_write_thread_adaptive_yield(options, 0)
    rocksdb_options_set_bytes_per_sync(options, 1 << 20)
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1)
    rocksdb_options_set_compression(options, Int32(rocksdb_lz4_compression))
    rocksdb_options_set_max_manifest_file_size(options, 16 << 20)
    rocksdb_options_set_info_log_level(options, 2)
    rocksdb_options_set_keep_log_file_num(options, 2)
    rocksdb_options_set_max_log_file_size(options, 4 << 20)
    setTables(options)
    setBlobs(options)
    return options
  }

  private func setTables(_ options: OpaquePointer?) {
    let tables = rocksdb_block_based_options_create()
    defer { rocksdb_block_based_options_destroy(tables) }
    rocksdb_block_based_options_set_block_cache(tables, cache.pointer)
    rocksdb_block_based_options_set_block_size(tables, 8 << 10)
    // Index and filter blocks count towards the shared cache, or memory would grow with the data.
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1)
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables, 1)
    // The options own the filter policy from here on.
    rocksdb_block_based_options_set_filter_policy(tables, rocksdb_filterpolicy_create_bloom_full(10))
    rocksdb_block_based_options_set_format_version(tables, 5)
    let xxh3: CChar = 4
    rocksdb_block_based_options_set_checksum(tables, xxh3)
    rocksdb_options_set_block_based_table_factory(options, tables)
  }

  private func setBlobs(_ options: OpaquePointer?) {
    guard let blobs else { return }
    rocksdb_options_set_enable_blob_files(options, 1)
    rocksdb_options_set_min_blob_size(options, UInt64(blobs.smallest.int))
    rocksdb_options_set_blob_file_size(options, UInt64(blobs.fileSize.int))
    rocksdb_options_set_blob_compression_type(options, Int32(rocksdb_no_compression))
    rocksdb_options_set_enable_blob_gc(options, 0)
    // A collection may rewrite any file, so one over the whole range gives all garbage back.
    rocksdb_options_set_blob_gc_age_cutoff(options, 1.0)
    rocksdb_options_set_blob_gc_force_threshold(options, 0.5)
  }
}
