import DFSCore
import DFSKeyValue
import TestSupport
import Testing

/// The engines that the conformance suite runs on.
enum Engine: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case memory
  case rocksDB
  case rocksDBWithBlobs

  var testDescription: String { rawValue }

  func withStore(_ body: (any OrderedStore) throws -> Void) throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try make(in: directory.path + "/store")
    defer { store.close() }
    try body(store)
  }

  func make(in path: String) throws -> any OrderedStore {
    switch self {
    case .memory: return MemoryStore()
    case .rocksDB: return try RocksDBStore(path: path, options: Self.options)
    case .rocksDBWithBlobs:
      var options = Self.options
      options.blobs = RocksDBOptions.Blobs()
      options.blobs?.smallest = .kib(1)
      return try RocksDBStore(path: path, options: options)
    }
  }

  func open(checkpoint path: String) throws -> any OrderedStore {
    switch self {
    case .memory: try MemoryStore(checkpoint: path)
    case .rocksDB, .rocksDBWithBlobs: try make(in: path)
    }
  }

  static var options: RocksDBOptions {
    var options = RocksDBOptions(cache: RocksDBCache(capacity: .mib(4)))
    options.memtableSize = .mib(1)
    return options
  }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension StoreReader {
  /// Every entry of `range`, in the order of the scan.
  func entries(_ range: KeyRange = KeyRange(from: [], to: nil)) throws -> [Entry] {
    var entries: [Entry] = []
    try scan(range) { key, value in
      entries.append(Entry(key: [UInt8](key), value: [UInt8](value)))
      return .goOn
    }
    return entries
  }
}

struct Entry: Hashable {
  var key: [UInt8]
  var value: [UInt8]
}

extension OrderedStore {
  func put(_ key: String, _ value: String) throws {
    var batch = WriteBatch()
    batch.put(bytes(key), bytes(value))
    try apply(batch, durability: .buffered)
  }
}

/// Expects a `DFSError` with this code.
func expectError(
  _ code: DFSError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
  do {
    try body()
    Issue.record("expected \(code.rawValue), nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as DFSError {
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
  } catch {
    Issue.record("expected \(code.rawValue), got \(error)", sourceLocation: sourceLocation)
  }
}
