import DFSCodec
import DFSCore
import TestSupport
import Testing

@Suite struct MessageCompressionTests {
  @Test(arguments: MessageCompression.allCases) func `what was compressed comes back`(
    _ form: MessageCompression
  ) throws {
    var generator = SeededGenerator()
    for length in [0, 1, 100, 65_535, 65_536, 65_537, 300_000] {
      let text = [UInt8](repeating: 65, count: length)
      let noise = generator.bytes(length)
      for bytes in [text, noise] {
        let compressed = try form.compressed(bytes)
        #expect(
          try form.decompressed(compressed, limit: ByteCount(length)) == bytes, "seed \(generator.seed)")
      }
      if length > 1_000 { #expect(try form.compressed(text).count < length / 50) }
    }
  }

  @Test(arguments: MessageCompression.allCases) func `a bomb is refused at the limit`(
    _ form: MessageCompression
  ) throws {
    let bomb = try form.compressed([UInt8](repeating: 0, count: 20 << 20))
    #expect(throws: DFSError.self) { try form.decompressed(bomb, limit: .mib(4)) }
    var produced = 0
    let error = #expect(throws: DFSError.self) {
      try bomb.withUnsafeBytes { bytes in
        try form.decompress(bytes, limit: .kib(256)) { produced += $0.count }
      }
    }
    #expect(error?.code == .exhausted)
    #expect(produced <= 256 << 10)
  }

  @Test(arguments: MessageCompression.allCases) func `cut, changed or extended input never crashes or passes`(
    _ form: MessageCompression
  ) throws {
    var generator = SeededGenerator()
    let bytes = Array("the quick brown fox jumps over the lazy dog, again and again and again".utf8)
    let good = try form.compressed(bytes)
    for length in 0..<good.count {
      let error = #expect(throws: DFSError.self) {
        try form.decompressed(Array(good.prefix(length)), limit: .mib(1))
      }
      #expect(error?.code == .invalidArgument)
    }
    #expect(throws: DFSError.self) { try form.decompressed(good + [0], limit: .mib(1)) }
    for _ in 0..<2_000 {
      var bad = good
      bad[Int.random(in: 0..<bad.count, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
      // A flipped bit in the header's flags can leave the content as it was; nothing else may come out.
      if let result = try? form.decompressed(bad, limit: .mib(1)) {
        #expect(result == bytes, "seed \(generator.seed)")
      }
    }
    for _ in 0..<2_000 {
      let noise = generator.bytes(Int.random(in: 0...200, using: &generator))
      _ = try? form.decompressed(noise, limit: .kib(64))
    }
  }
}
