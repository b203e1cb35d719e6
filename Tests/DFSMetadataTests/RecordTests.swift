import DFSCore
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct RecordTests {
  @Test func `every record comes back as it was written`() throws {
    var random = SeededGenerator()
    for _ in 0..<100 {
      for sample in RecordSample.all(using: &random) {
        #expect(throws: Never.self, "seed \(random.seed)") { try sample.checkRoundTrip() }
      }
    }
  }

  @Test func `damaged records are refused or read as another valid one, and never trap`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<100 {
      for sample in RecordSample.all(using: &random) {
        let bytes = sample.bytes
        for cut in 0..<min(bytes.count, 40) {
          #expect(throws: DFSError.self) { try sample.decode(Array(bytes.prefix(cut))) }
        }
        #expect(throws: DFSError.self) { try sample.decode(bytes + [0]) }
        #expect(throws: DFSError.self) { try sample.decode([200] + bytes.dropFirst()) }
        var flipped = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          flipped[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        do { try sample.decode(flipped) } catch let error as DFSError { #expect(error.code == .corrupt) }
        let noise = random.bytes(Int.random(in: 0...200, using: &random))
        do { try sample.decode([1] + noise) } catch let error as DFSError { #expect(error.code == .corrupt) }
      }
    }
  }

  @Test func `numbers have one encoding`() throws {
    func read(_ bytes: [UInt8]) throws -> UInt64 {
      var reader = RecordReader(bytes, "test")
      let value: UInt64 = try reader.number()
      try reader.finish()
      return value
    }
    for value in [0, 1, 127, 128, 300, UInt64(1) << 63, .max] {
      var writer = RecordWriter()
      writer.number(value)
      #expect(try read(writer.bytes) == value)
    }
    #expect(throws: DFSError.self) { try read([0x80, 0x00]) }
    #expect(throws: DFSError.self) { try read(Array(repeating: 0xFF, count: 9) + [0x02]) }
    #expect(throws: DFSError.self) { try read(Array(repeating: 0x80, count: 10) + [0x01]) }
    for value in [0, 1, -1, 64, Int64.min, .max] {
      var writer = RecordWriter()
      writer.signed(value)
      var reader = RecordReader(writer.bytes, "test")
      #expect(try reader.signed() == value)
    }
  }

  @Test func `keys sort as their parts do, and prefixes hold their own only`() throws {
    let inodes = [1, 255, 256, UInt64(1) << 40, .max].map { InodeID(rawValue: $0) }
    let keys = inodes.map { Keys.inode($0) }
    #expect(keys == keys.sorted { $0.lexicographicallyPrecedes($1) })
    let names = try ["a", "a-", "a0", "b"].map { try FileName($0) }
    let entries = inodes.flatMap { inode in names.map { Keys.entry(inode, $0) } }
    #expect(entries == entries.sorted { $0.lexicographicallyPrecedes($1) })
    for inode in inodes {
      #expect(entries.count { $0.starts(with: Keys.entries(of: inode)) } == names.count)
    }
    let name = try entries[5].withUnsafeBytes { try Keys.name(ofEntry: $0) }
    #expect(name == names[1])
    let times = [0, 1, 1_700_000_000_000, Int64.max].map { Keys.condemned(ClusterTime(rawValue: $0), .root) }
    #expect(times == times.sorted { $0.lexicographicallyPrecedes($1) })
  }

  @Test func `the digest does not depend on the order and notices each change`() {
    var random = SeededGenerator()
    let records = (0..<100).map { _ in
      (key: random.bytes(12), value: random.bytes(Int.random(in: 0...40, using: &random)))
    }
    func sum(_ records: [(key: [UInt8], value: [UInt8])]) -> StateDigest {
      records.reduce(into: StateDigest.zero) { $0 += StateDigest(key: $1.key, value: $1.value) }
    }
    let whole = sum(records)
    #expect(sum(records.shuffled(using: &random)) == whole)
    for index in records.indices where !records[index].value.isEmpty {
      var changed = records
      changed[index].value[0] ^= 1
      #expect(sum(changed) != whole, "seed \(random.seed)")
    }
    var moved = StateDigest(key: [1, 2], value: [3])
    moved -= StateDigest(key: [1], value: [2, 3])
    #expect(moved != .zero)
    var back = whole
    back += moved
    back -= moved
    #expect(back == whole)
  }
}
