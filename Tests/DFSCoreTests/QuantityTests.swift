import DFSCore
import TestSupport
import Testing

struct ByteCountTests {
  @Test func `a sum of what others report ends at the largest count`() {
    let largest = ByteCount(rawValue: .max)
    #expect(largest.addingSaturated(ByteCount(1)) == largest)
    #expect(ByteCount(2).addingSaturated(ByteCount(3)) == ByteCount(5))
  }

  @Test(arguments: [
    ("0", 0), ("4096", 4096), ("1B", 1), ("64KiB", 65_536), ("64 kib", 65_536), ("8 MiB", 8 << 20),
    ("8m", 8 << 20),
    ("2g", 2 << 30), ("1 TiB", 1 << 40), ("9223372036854775807", Int64.max),
  ])
  func `sizes are read with binary units`(text: String, bytes: Int64) {
    #expect(ByteCount(text)?.rawValue == bytes)
  }

  @Test(arguments: [
    "", " ", "MiB", "-1", "+1", "1.5 MiB", "1 mb", "1 PiB", "8 Mi B", "9223372036854775808",
    "9223372036854775807 KiB",
    "8388608 TiB", "0x10", "٣", " 1",
  ])
  func `what is no size, or too large a one, is refused`(text: String) {
    #expect(ByteCount(text) == nil)
  }

  @Test(arguments: [
    (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (8 << 20, "8 MiB"),
    ((3 << 30) / 2, "1.5 GiB"), (1 << 40, "1 TiB"), (1 << 50, "1 PiB"), (1 << 60, "1024 PiB"),
    (-2048, "-2 KiB"),
    (1_000_000, "976.6 KiB"),
  ])
  func `sizes are written with at most one decimal`(bytes: Int, text: String) {
    #expect(ByteCount(bytes).description == text)
  }

  @Test func `sizes add, subtract and compare`() {
    #expect(ByteCount.kib(1) + .kib(1) == ByteCount(2048))
    #expect(ByteCount.mib(1) - .kib(1024) == .zero)
    #expect(ByteCount.gib(1) > .mib(1023))
    #expect(ByteCount.kib(3).int == 3072)
  }
}

struct ChunkSizeTests {
  @Test func `the largest length that a message can name has a number of chunks`() {
    #expect(ChunkSize.standard.chunkCount(of: .max) == 1 << 40)
    #expect(ChunkSize.standard.chunkCount(of: 0) == 0)
    #expect(ChunkSize.standard.chunkCount(of: 1) == 1)
    #expect(ChunkSize.standard.chunkCount(of: 8 << 20) == 1)
    #expect(ChunkSize.standard.chunkCount(of: 8 << 20 | 1) == 2)
  }

  @Test func `exactly the eleven powers of two from 64 KiB to 64 MiB are chunk sizes`() {
    let powers = (0..<63).map { 1 << $0 }.filter { ChunkSize(bytes: $0) != nil }
    #expect(powers == (16...26).map { 1 << $0 })
    for bytes in [0, -65_536, 65_535, 65_537, 3 << 16, (64 << 20) + 1, Int.min, Int.max] {
      #expect(ChunkSize(bytes: bytes) == nil, "\(bytes)")
    }
    #expect(ChunkSize.standard.bytes == 8 << 20)
    #expect(ChunkSize.standard.description == "8 MiB")
  }

  @Test func `a file's chunks are counted with the last one short`() throws {
    let size = try #require(ChunkSize(bytes: 1 << 16))
    let cases: [(Int64, Int64)] = [
      (0, 0), (1, 1), (65_536, 1), (65_537, 2), (131_072, 2), (1 << 40, 1 << 24),
    ]
    for (length, count) in cases { #expect(size.chunkCount(of: length) == count) }
  }

  @Test func `blocks are counted with the last one short`() {
    for (length, count) in [(0, 0), (1, 1), (65_536, 1), (65_537, 2), (8 << 20, 128)] {
      #expect(Block.count(of: length) == count)
    }
  }
}

struct EndpointTests {
  @Test(arguments: [
    ("localhost:7400", "localhost", 7400), ("10.0.0.1:0", "10.0.0.1", 0), ("[::1]:65535", "::1", 65_535),
    ("a.example:1", "a.example", 1),
  ])
  func `an address is read and written back`(text: String, host: String, port: Int) throws {
    let endpoint = try Endpoint(text)
    #expect(endpoint == Endpoint(host: host, port: port))
    #expect(endpoint.description == text)
  }

  @Test func `a default port fills in for a missing one`() throws {
    #expect(try Endpoint("host", defaultPort: 7400) == Endpoint(host: "host", port: 7400))
    #expect(try Endpoint("[::1]", defaultPort: 7400) == Endpoint(host: "::1", port: 7400))
    #expect(try Endpoint("host:9", defaultPort: 7400).port == 9)
  }

  @Test(arguments: [
    "", ":", ":1", "host", "host:", "host:x", "host:-1", "host:+1", "host:65536", "::1:7400", "[::1",
    "[::1]x:1", "[]:1",
    "[::1]:", "host:1:2", "host:99999999999999999999",
  ])
  func `what is no address is refused and says how to write one`(text: String) {
    let error = #expect(throws: DFSError.self) { try Endpoint(text) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("HOST:PORT") == true)
  }

  @Test(arguments: ["host:", "host:x", "[::1]:"])
  func `a default port does not excuse a bad one`(text: String) {
    #expect(throws: DFSError.self) { try Endpoint(text, defaultPort: 7400) }
  }
}
