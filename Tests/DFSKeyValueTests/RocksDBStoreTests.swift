import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSKeyValue

@Suite struct RocksDBStoreTests {
  @Test func `what was synced is there after the store is opened again`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    try fill(directory.path, records: 50)
    let store = try open(directory.path)
    defer { store.close() }
    #expect(try store.entries().count == 50)
  }

  @Test func `a flipped byte in the log is refused, not skipped`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    try fill(directory.path, records: 50)
    try editLog(in: directory.path) { log in log[log.count / 2] ^= 0x10 }
    expectError(.corrupt) { _ = try open(directory.path) }
  }

  @Test func `a torn tail of the log costs the torn record only`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    try fill(directory.path, records: 50)
    try editLog(in: directory.path) { log in log.removeLast(7) }
    let store = try open(directory.path)
    defer { store.close() }
    #expect(try store.entries().count == 49)
  }

  @Test func `a store that another has open is unavailable`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try open(directory.path)
    expectError(.unavailable) { _ = try open(directory.path) }
    store.close()
    try open(directory.path).close()
  }

  @Test func `a store that must exist and does not is not found`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    var options = Engine.options
    options.opening = .mustExist
    expectError(.notFound) { _ = try RocksDBStore(path: directory.path + "/none", options: options) }
  }

  @Test func `a snapshot may outlive its store`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try open(directory.path)
    try store.put("a", "1")
    let snapshot = store.snapshot()
    store.close()
    #expect(try snapshot.value(for: bytes("a")) == bytes("1"))
  }

  @Test func `a snapshot of memory gives what lies there, and says of the rest that it does not know`() throws
  {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    var store = try open(directory.path)
    try store.put("a", "1")
    #expect(try store.snapshot(.memory).value(for: bytes("a")) == bytes("1"))
    #expect(try store.snapshot(.memory).value(for: bytes("b")) == nil)
    try store.flush()
    store.close()
    // Now the record is in a table, of which the empty cache has no block.
    store = try open(directory.path)
    defer { store.close() }
    #expect(throws: NotInMemory.self) { try store.snapshot(.memory).value(for: bytes("a")) }
    #expect(throws: NotInMemory.self) {
      try store.snapshot(.memory).scan(KeyRange(from: [], to: nil)) { _, _ in .goOn }
    }
    #expect(try store.snapshot().value(for: bytes("a")) == bytes("1"))
    // The disk has been asked, and the cache has it.
    #expect(try store.snapshot(.memory).value(for: bytes("a")) == bytes("1"))
  }

  @Test func `a snapshot of memory knows nothing of a table that is not open`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    var options = Engine.options
    options.openFiles = 20
    func reopened() throws -> RocksDBStore {
      try RocksDBStore(path: directory.path + "/store", options: options)
    }
    var store = try reopened()
    var keys: [String] = []
    for table in 0..<60 {
      // Keys that only rise: compactions move such tables and do not merge them.
      var batch = WriteBatch()
      for record in 0..<10 {
        keys.append(String(1_000_000 + table * 1000 + record))
        batch.put(bytes(keys[keys.count - 1]), [UInt8](repeating: 7, count: 100))
      }
      try store.apply(batch, durability: .buffered)
      try store.flush()
    }
    store.close()
    store = try reopened()
    defer { store.close() }
    var unknown = 0
    for key in keys {
      do {
        let value = try store.snapshot(.memory).value(for: bytes(key))
        #expect(value?.count == 100)
      } catch is NotInMemory { unknown += 1 }
    }
    #expect(unknown > 0)
    for key in keys { #expect(try store.value(for: bytes(key))?.count == 100) }
  }

  @Test func `a snapshot of memory answers a few reads, not many`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try open(directory.path)
    defer { store.close() }
    for number in 0..<100 { try store.put("key \(number)", "1") }
    let few = store.snapshot(.memory)
    for number in 0..<ReadTier.memoryReads {
      #expect(try few.value(for: bytes("key \(number)")) == bytes("1"))
    }
    #expect(throws: NotInMemory.self) { try few.value(for: bytes("key 99")) }
    #expect(throws: NotInMemory.self) {
      try store.snapshot(.memory).scan(KeyRange(from: [], to: nil)) { _, _ in .goOn }
    }
    #expect(try store.snapshot().entries().count == 100)
    try store.put("large", String(repeating: "x", count: 10_000))
    #expect(throws: NotInMemory.self) { try store.snapshot(.memory).value(for: bytes("large")) }
    #expect(try store.snapshot().value(for: bytes("large"))?.count == 10_000)
  }

  @Test func `compaction gives back the space of deleted blobs`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try Engine.rocksDBWithBlobs.make(in: directory.path + "/store")
    defer { store.close() }
    var generator = SeededGenerator(seed: 1)
    for index in 0..<160 {
      var batch = WriteBatch()
      batch.put(bytes("k\(index)"), generator.bytes(50_000))
      try store.apply(batch, durability: .buffered)
    }
    for index in 0..<150 {
      var batch = WriteBatch()
      batch.delete(bytes("k\(index)"))
      try store.apply(batch, durability: .buffered)
    }
    try store.compact(KeyRange(from: [], to: nil))
    #expect(try store.usedSpace() < .mib(1))
    #expect(try store.entries().count == 10)
  }

  @Test func `writers on many threads all get their records`() throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    let store = try open(directory.path)
    defer { store.close() }
    DispatchQueue.concurrentPerform(iterations: 8) { thread in
      for index in 0..<40 {
        var batch = WriteBatch()
        batch.put(bytes("\(thread)/\(index)"), bytes("v"))
        do { try store.apply(batch, durability: .synced) } catch { Issue.record(error) }
      }
    }
    #expect(try store.entries().count == 320)
  }

  @Test(arguments: [
    (
      "IO error: No space left on device: While appending to file: /x/1.log: No space left on device",
      "EXHAUSTED"
    ),
    ("IO error: While fdatasync: /x/000004.log: Input/output error", "OUTCOME_UNKNOWN"),
    (
      "IO error: No space left on device: While fdatasync: /x/4.log: No space left on device",
      "OUTCOME_UNKNOWN"
    ),
    ("IO error: While appending to file: /x/000004.log: Input/output error", "OUTCOME_UNKNOWN"),
    ("Corruption: block checksum mismatch", "CORRUPT"),
    ("Corruption: CRC mismatch", "CORRUPT"),
  ]) func `the text of a failed write tells what to do`(_ text: String, _ code: String) {
    #expect(RocksDBFailure.code(of: text, during: .write).rawValue == code)
  }

  @Test func `a memory store plays a crash: synced batches stay, buffered ones go`() throws {
    let store = MemoryStore()
    try store.put("a", "1")
    var batch = WriteBatch()
    batch.put(bytes("b"), bytes("2"))
    try store.apply(batch, durability: .synced)
    try store.put("c", "3")
    #expect(try store.afterCrash().entries().map(\.key) == [bytes("a"), bytes("b")])
    #expect(try store.entries().count == 3)
  }

  @Test func `a memory store's fault is thrown and nothing is applied`() throws {
    let store = MemoryStore { batch in
      if batch.changes.count == 2 { throw DFSError(.exhausted, "the disk is full") }
    }
    try store.put("a", "1")
    var batch = WriteBatch()
    batch.put(bytes("b"), [])
    batch.delete(bytes("a"))
    expectError(.exhausted) { try store.apply(batch, durability: .synced) }
    #expect(try store.entries().count == 1)
  }

  private func open(_ path: String) throws -> RocksDBStore {
    try RocksDBStore(path: path + "/store", options: Engine.options)
  }

  private func fill(_ path: String, records: Int) throws {
    let store = try open(path)
    for index in 0..<records {
      var batch = WriteBatch()
      batch.put(bytes("key \(index)"), [UInt8](repeating: UInt8(index), count: 200))
      try store.apply(batch, durability: .synced)
    }
    store.close()
  }

  private func editLog(in path: String, _ body: (inout Data) -> Void) throws {
    let store = URL(fileURLWithPath: path + "/store")
    let logs = try FileManager.default.contentsOfDirectory(at: store, includingPropertiesForKeys: nil)
      .filter { $0.pathExtension == "log" }
    let log = try #require(logs.first)
    var data = try Data(contentsOf: log)
    body(&data)
    try data.write(to: log)
  }
}
