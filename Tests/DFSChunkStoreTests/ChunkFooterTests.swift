import DFSCodec
import DFSCore
import TestSupport
import Testing

@testable import DFSChunkStore

@Suite struct ChunkFooterTests {
  private func footer(_ chunk: TestChunk) -> ChunkFooter {
    ChunkFooter(
      chunk: chunk.id, group: chunk.group, length: chunk.bytes.count, root: chunk.root,
      checksums: chunk.checksums,
      leaves: chunk.leaves)
  }

  private func decode(_ bytes: [UInt8]) throws -> ChunkFooter {
    try bytes.withUnsafeBytes { try ChunkFooter(decoding: $0) }
  }

  @Test func `a footer comes back as it was, and has its place in the format for ever`() throws {
    let footer = footer(TestChunk(0x0102_0304_0506_0708, 0x0A0B_0C0D, group: 0x1112_1314, length: 70_000))
    let bytes = footer.encoded()
    #expect(bytes.count == 96 + 2 * 36)
    #expect(try decode(bytes) == footer)
    let fixed = Array(bytes.suffix(96))
    #expect(fixed[0..<8].elementsEqual([8, 7, 6, 5, 4, 3, 2, 1]))
    #expect(fixed[8..<12].elementsEqual([0x0D, 0x0C, 0x0B, 0x0A]))
    #expect(fixed[12..<16].elementsEqual([0x14, 0x13, 0x12, 0x11]))
    #expect(fixed[16..<20].elementsEqual([0x70, 0x11, 0x01, 0x00]))
    #expect(fixed[40..<72].elementsEqual(footer.root.bytes))
    #expect(fixed[80..<84].elementsEqual([168, 0, 0, 0]))
    #expect(fixed[84..<88].elementsEqual([1, 0, 0, 0]))
    #expect(fixed.suffix(4).elementsEqual("dfsc".utf8))
  }

  @Test func `a newer version is told from damage`() throws {
    var bytes = footer(TestChunk(1, length: 10)).encoded()
    bytes[bytes.count - 12] = 2
    expectError(.unimplemented) { _ = try decode(bytes) }
  }

  @Test func `an intact footer with numbers that contradict each other is corrupt`() throws {
    let good = footer(TestChunk(1, length: 70_000)).encoded()
    // Length, stored length, block count, root, footer length.
    for offset in [16, 20, 28, 40, 80] {
      var bytes = good
      bytes[bytes.count - 96 + offset] ^= 1
      let sum = CRC32C.checksum(Array(bytes.dropLast(8)))
      withUnsafeBytes(of: sum.littleEndian) {
        bytes.replaceSubrange(bytes.count - 8..<bytes.count - 4, with: $0)
      }
      expectError(.corrupt) { _ = try decode(bytes) }
    }
    for offset in [24, 32] {
      var bytes = good
      bytes[bytes.count - 96 + offset] ^= 1
      let sum = CRC32C.checksum(Array(bytes.dropLast(8)))
      withUnsafeBytes(of: sum.littleEndian) {
        bytes.replaceSubrange(bytes.count - 8..<bytes.count - 4, with: $0)
      }
      expectError(.unimplemented) { _ = try decode(bytes) }
    }
  }

  @Test func `random and damaged footers throw, they never crash or pass`() throws {
    var generator = SeededGenerator()
    let good = footer(TestChunk(1, length: 200_000)).encoded()
    for _ in 0..<3_000 {
      let noise = generator.bytes(Int.random(in: 0...300, using: &generator))
      #expect(throws: DFSError.self, "seed \(generator.seed)") { try decode(noise) }
      var bad = good
      for _ in 0...Int.random(in: 0...3, using: &generator) {
        bad[Int.random(in: 0..<bad.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if bad != good { #expect(throws: DFSError.self, "seed \(generator.seed)") { try decode(bad) } }
      #expect(throws: DFSError.self, "seed \(generator.seed)") {
        try decode(Array(good.prefix(Int.random(in: 0..<good.count, using: &generator))))
      }
    }
  }

  @Test func `names keep the order of ids, and foreign names are nobody's chunk`() {
    var generator = SeededGenerator()
    let ids = (0..<500).map { _ in
      ChunkID(
        inode: InodeID(rawValue: generator.next() >> UInt64.random(in: 0...63, using: &generator)),
        index: UInt32.random(in: 0...UInt32.max, using: &generator))
    }
    #expect(
      ids.sorted().map { ChunkFileName.name($0) } == ids.map { ChunkFileName.name($0) }.sorted(),
      "seed \(generator.seed)")
    for id in ids { #expect(ChunkFileName.chunk(ChunkFileName.name(id)) == id) }
    for name in [
      "", "x", "0000000000000001", "0000000000000001.0000000", "000000000000000G.00000000",
      "0000000000000001.00000000.1", "+000000000000001.00000000", "000000000000000A.00000000",
    ] {
      #expect(ChunkFileName.chunk(name) == nil)
    }
    #expect(ChunkFileName.group("0000002a") == GroupID(rawValue: 42))
    #expect(ChunkFileName.group("2a") == nil)
    #expect(ChunkFileName.quarantined(ChunkFileName.quarantine(ids[0], GroupID(rawValue: 3), 12))
      == ChunkPlace(chunk: ids[0], group: GroupID(rawValue: 3)))
  }
}
