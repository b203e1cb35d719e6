import DFSCodec
import TestSupport
import Testing

@Suite struct CRC32CTests {
  @Test(
    arguments: [
      ([], 0), (Array("123456789".utf8), 0xE306_9283), ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
      ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43), ([UInt8](0..<32), 0x46DD_794E),
    ] as [([UInt8], UInt32)]) func `the vectors of RFC 3720 come out`(_ bytes: [UInt8], _ expected: UInt32)
  {
    #expect(CRC32C.checksum(bytes) == expected)
  }

  @Test func `any split gives the same checksum`() {
    var generator = SeededGenerator()
    for _ in 0..<50 {
      let bytes = generator.bytes(Int.random(in: 0...2_000, using: &generator))
      var split = CRC32C()
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 1...500, using: &generator))
        Array(piece).withUnsafeBytes { split.update($0) }
        rest = rest.dropFirst(piece.count)
      }
      #expect(split.value == CRC32C.checksum(bytes), "seed \(generator.seed)")
    }
  }
}
