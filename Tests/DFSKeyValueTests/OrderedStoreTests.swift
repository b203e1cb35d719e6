import DFSCore
import DFSKeyValue
import Foundation
import TestSupport
import Testing

/// What every ordered store must do.
@Suite struct OrderedStoreTests {
  @Test(arguments: Engine.allCases) func `a value that was put is read back, an absent key is nil`(
    _ engine: Engine
  ) throws {
    try engine.withStore { store in
      try store.put("a", "1")
      try store.put("a", "2")
      try store.put("empty", "")
      #expect(try store.value(for: bytes("a")) == bytes("2"))
      #expect(try store.value(for: bytes("empty")) == [])
      #expect(try store.value(for: bytes("b")) == nil)
      #expect(try store.withValue(for: bytes("a")) { $0.count } == 1)
      #expect(try store.withValue(for: bytes("b")) { $0.count } == nil)
    }
  }

  @Test(arguments: Engine.allCases) func `a scan goes in byte order from start to before end`(
    _ engine: Engine
  ) throws {
    try engine.withStore { store in
      for key in [[0xFF], [0x00], [0x61, 0x00], [0x61], [0x7F, 0xFF], [0x80], [0x62]] as [[UInt8]] {
        var batch = WriteBatch()
        batch.put(key, key)
        try store.apply(batch, durability: .buffered)
      }
      #expect(
        try store.entries().map(\.key)
          == [[0x00], [0x61], [0x61, 0x00], [0x62], [0x7F, 0xFF], [0x80], [0xFF]])
      #expect(
        try store.entries(KeyRange(from: [0x61], to: [0x80])).map(\.key) == [
          [0x61], [0x61, 0x00], [0x62], [0x7F, 0xFF],
        ])
      #expect(try store.entries(KeyRange(prefix: [0x61])).map(\.key) == [[0x61], [0x61, 0x00]])
      #expect(try store.entries(KeyRange(prefix: [0xFF])).map(\.key) == [[0xFF]])
      #expect(try store.entries(KeyRange(from: [0x62], to: [0x62])).isEmpty)
    }
  }

  @Test(arguments: Engine.allCases) func `a scan stops when its body says so and passes errors on`(
    _ engine: Engine
  ) throws {
    try engine.withStore { store in
      for key in ["a", "b", "c"] { try store.put(key, "") }
      var seen = 0
      try store.scan(KeyRange(from: [], to: nil)) { _, _ in
        seen += 1
        return seen == 2 ? .stop : .goOn
      }
      #expect(seen == 2)
      expectError(.cancelled) {
        try store.scan(KeyRange(from: [], to: nil)) { _, _ in throw DFSError(.cancelled, "enough") }
      }
    }
  }

  @Test(arguments: Engine.allCases) func `within a batch the later change of a key wins`(_ engine: Engine)
    throws
  {
    try engine.withStore { store in
      try store.put("k3", "old")
      var batch = WriteBatch()
      batch.put(bytes("k1"), bytes("first"))
      batch.put(bytes("k1"), bytes("second"))
      batch.put(bytes("k2"), bytes("x"))
      batch.delete(bytes("k2"))
      batch.deleteRange(KeyRange(from: bytes("k3"), to: bytes("k5")))
      batch.put(bytes("k4"), bytes("after"))
      try store.apply(batch, durability: .synced)
      #expect(
        try store.entries() == [
          Entry(key: bytes("k1"), value: bytes("second")), Entry(key: bytes("k4"), value: bytes("after")),
        ])
    }
  }

  @Test(arguments: Engine.allCases) func `a snapshot keeps the state it was taken at`(_ engine: Engine) throws
  {
    try engine.withStore { store in
      for key in ["a", "b", "c"] { try store.put(key, "1") }
      let snapshot = store.snapshot()
      try store.put("a", "2")
      try store.put("d", "2")
      var batch = WriteBatch()
      batch.deleteRange(KeyRange(from: bytes("b"), to: bytes("d")))
      try store.apply(batch, durability: .buffered)
      try store.compact(KeyRange(from: [], to: nil))
      #expect(try snapshot.entries().map(\.key) == [bytes("a"), bytes("b"), bytes("c")])
      #expect(try snapshot.value(for: bytes("a")) == bytes("1"))
      #expect(try snapshot.value(for: bytes("d")) == nil)
      #expect(try store.entries().map(\.key) == [bytes("a"), bytes("d")])
    }
  }

  @Test(arguments: Engine.allCases) func `a scan sees one state though its body writes`(_ engine: Engine)
    throws
  {
    try engine.withStore { store in
      for key in ["a", "b", "c"] { try store.put(key, "1") }
      var seen: [[UInt8]] = []
      try store.scan(KeyRange(from: [], to: nil)) { key, _ in
        seen.append([UInt8](key))
        try store.put("b0", "new")
        var batch = WriteBatch()
        batch.delete(bytes("c"))
        try store.apply(batch, durability: .buffered)
        return .goOn
      }
      #expect(seen == [bytes("a"), bytes("b"), bytes("c")])
    }
  }

  @Test(arguments: Engine.allCases) func `a checkpoint is a whole store of its own`(_ engine: Engine) throws {
    let directory = try TemporaryDirectory("dfs-keyvalue")
    try engine.withStore { store in
      let large = [UInt8](repeating: 7, count: 5_000)
      try store.put("a", "1")
      var batch = WriteBatch()
      batch.put(bytes("large"), large)
      try store.apply(batch, durability: .buffered)
      try store.checkpoint(into: directory.path + "/copy")
      try store.put("b", "2")
      expectError(.alreadyExists) { try store.checkpoint(into: directory.path + "/copy") }
      let copy = try engine.open(checkpoint: directory.path + "/copy")
      defer { copy.close() }
      #expect(try copy.entries().map(\.key) == [bytes("a"), bytes("large")])
      #expect(try copy.value(for: bytes("large")) == large)
    }
  }

  @Test(arguments: Engine.allCases) func `every call on a closed store throws unavailable`(_ engine: Engine)
    throws
  {
    try engine.withStore { store in
      try store.put("a", "1")
      store.close()
      store.close()
      expectError(.unavailable) { _ = try store.value(for: bytes("a")) }
      expectError(.unavailable) { _ = try store.entries() }
      expectError(.unavailable) { try store.put("a", "1") }
      expectError(.unavailable) { _ = try store.snapshot().value(for: bytes("a")) }
      expectError(.unavailable) { try store.compact(KeyRange(from: [], to: nil)) }
      expectError(.unavailable) { _ = try store.usedSpace() }
      expectError(.unavailable) { try store.checkpoint(into: "/nowhere/at/all") }
    }
  }

  @Test(arguments: Engine.allCases) func `random operations agree with a dictionary`(_ engine: Engine) throws
  {
    var generator = SeededGenerator()
    let seed = generator.seed
    try engine.withStore { store in
      var model: [[UInt8]: [UInt8]] = [:]
      var snapshots: [(any StoreReader, [[UInt8]: [UInt8]])] = []
      for step in 0..<600 {
        let batch = randomBatch(on: &model, using: &generator)
        try store.apply(batch, durability: step % 50 == 0 ? .synced : .buffered)
        switch Int.random(in: 0..<40, using: &generator) {
        case 0: snapshots.append((store.snapshot(), model))
        case 1 where !snapshots.isEmpty:
          let (snapshot, then) = snapshots.removeFirst()
          #expect(try snapshot.entries() == sorted(then), "seed \(seed), step \(step)")
        case 2: try store.compact(KeyRange(from: [], to: nil))
        case 3...6:
          let range = randomRange(using: &generator)
          #expect(try store.entries(range) == sorted(model, in: range), "seed \(seed), step \(step)")
        default:
          let key = randomKey(using: &generator)
          #expect(try store.value(for: key) == model[key], "seed \(seed), step \(step)")
        }
      }
      #expect(try store.entries() == sorted(model), "seed \(seed)")
    }
  }

  private func randomKey(using generator: inout SeededGenerator) -> [UInt8] {
    let alphabet: [UInt8] = [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF]
    let length = Int.random(in: 1...3, using: &generator)
    return (0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }
  }

  private func randomRange(using generator: inout SeededGenerator) -> KeyRange {
    let keys = [randomKey(using: &generator), randomKey(using: &generator)]
    return keys[0].lexicographicallyPrecedes(keys[1])
      ? KeyRange(from: keys[0], to: keys[1]) : KeyRange(from: keys[1], to: keys[0])
  }

  private func randomBatch(
    on model: inout [[UInt8]: [UInt8]], using generator: inout SeededGenerator
  ) -> WriteBatch {
    var batch = WriteBatch()
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      switch Int.random(in: 0..<10, using: &generator) {
      case 0:
        let range = randomRange(using: &generator)
        batch.deleteRange(range)
        for entry in sorted(model, in: range) { model[entry.key] = nil }
      case 1...3:
        let key = randomKey(using: &generator)
        batch.delete(key)
        model[key] = nil
      default:
        let key = randomKey(using: &generator)
        let value = generator.bytes(Int.random(in: 0...1, using: &generator) * 2_000 + 3)
        batch.put(key, value)
        model[key] = value
      }
    }
    return batch
  }

  private func sorted(_ model: [[UInt8]: [UInt8]], in range: KeyRange = KeyRange(from: [], to: nil))
    -> [Entry]
  {
    model.filter { key, _ in
      !key.lexicographicallyPrecedes(range.start)
        && (range.end.map { key.lexicographicallyPrecedes($0) } ?? true)
    }
    .map { Entry(key: $0.key, value: $0.value) }
    .sorted { $0.key.lexicographicallyPrecedes($1.key) }
  }
}
