import DFSCore
import DFSCrypto
import DFSTransport
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import DFSClient

struct SourceTests {
  private let threads = BlockingThreads(count: 2, name: "test")

  private func content(of source: any ChunkSource, _ position: Int, _ chunkSize: Int) async throws -> [UInt8]
  {
    var bytes: [UInt8] = []
    let length = source.length(of: position, chunkSize: chunkSize)
    while bytes.count < length {
      let piece = try await source.piece(of: position, offset: bytes.count, chunkSize: chunkSize)
      #expect(piece.leaves == piece.payload.withUnsafeReadableBytes { MerkleTree.leaves(of: $0) })
      bytes += piece.payload.readableBytesView
    }
    return bytes
  }

  /// A source that gives `bytes` in pieces of random length.
  private func stream(_ bytes: [UInt8], budget: ByteCount, seed: UInt64) -> StreamSource {
    let state = NIOLockedValueBox((SeededGenerator(seed: seed), bytes[...]))
    return StreamSource(threads: threads, budget: budget, spoolDirectory: nil) { _ in
      state.withLockedValue { state in
        let count = min(state.1.count, Int.random(in: 1...100_000, using: &state.0))
        defer { state.1 = state.1.dropFirst(count) }
        return ByteBuffer(bytes: state.1.prefix(count))
      }
    }
  }

  @Test(arguments: [ByteCount.zero, .kib(600), .mib(64)])
  func `a stream comes out chunk by chunk as it went in, from memory or spooled`(budget: ByteCount)
    async throws
  {
    var random = SeededGenerator()
    let chunkSize = 512 << 10
    let bytes = random.bytes(chunkSize * 3 + 70_001)
    let source = stream(bytes, budget: budget, seed: random.seed)
    var position = 0
    while try await source.fill(position, chunkSize: chunkSize) { position += 1 }
    #expect(position == 4)
    for number in 0..<position {
      let expected = bytes[number * chunkSize..<min(bytes.count, (number + 1) * chunkSize)]
      // Twice: a chunk may be sent again.
      for _ in 0..<2 { #expect(try await content(of: source, number, chunkSize).elementsEqual(expected)) }
      source.release(number)
    }
    await #expect(throws: DFSError.self) { try await source.piece(of: 0, offset: 0, chunkSize: chunkSize) }
  }

  @Test(arguments: [0, 1, 4095, 4096, 4097, 200_000])
  func `a short stream is taken whole, a longer one loses nothing by the attempt`(length: Int) async throws {
    var random = SeededGenerator()
    let bytes = random.bytes(length)
    let source = stream(bytes, budget: .mib(1), seed: random.seed)
    let whole = try await source.whole(upTo: 4096)
    if length <= 4096 {
      #expect(whole.map { [UInt8]($0.readableBytesView) } == bytes)
      return
    }
    #expect(whole == nil)
    #expect(try await source.fill(0, chunkSize: 1 << 20))
    #expect(try await content(of: source, 0, 1 << 20) == bytes)
  }

  @Test func `a file that is written to while it is read is refused`() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/file"
    try Data(repeating: 7, count: 300_000).write(to: URL(fileURLWithPath: path))
    let file = try LocalFile(reading: path)
    let source = FileSource(file, try file.state(), threads: threads)
    try await source.checkUnchanged()
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 100)
    let error = await #expect(throws: DFSError.self) {
      _ = try await content(of: source, 0, 1 << 20)
      try await source.checkUnchanged()
    }
    #expect(error?.code == .failedPrecondition && error?.message.contains(path) == true)
  }

  @Test func `bytes in memory are cut into chunks without a remainder`() async throws {
    var random = SeededGenerator()
    let bytes = random.bytes(200_000)
    let source = BytesSource(ByteBuffer(bytes: bytes), threads: threads)
    let parts = [try await content(of: source, 0, 131_072), try await content(of: source, 1, 131_072)]
    #expect(parts.map(\.count) == [131_072, 68_928] && parts.joined().elementsEqual(bytes))
  }

  @Test func `a pipe that gives nothing for a while is waited for without holding a thread`() async throws {
    let pipe = Pipe()
    let file = LocalFile(borrowing: pipe.fileHandleForReading.fileDescriptor, name: "pipe")
    var buffer = ByteBuffer()
    #expect(try !file.readAvailable(into: &buffer, count: 100, wait: 1))
    try pipe.fileHandleForWriting.write(contentsOf: Data(repeating: 7, count: 150))
    #expect(try file.readAvailable(into: &buffer, count: 100, wait: 1) && buffer.readableBytes == 100)
    #expect(try file.readAvailable(into: &buffer, count: 100, wait: 1) && buffer.readableBytes == 150)
    try pipe.fileHandleForWriting.close()
    #expect(try file.readAvailable(into: &buffer, count: 100, wait: 1) && buffer.readableBytes == 150)
  }

  @Test func `a temporary file is gone when it is discarded, and has mode and time when published`() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/out"
    try TemporaryFile(beside: path).discard()
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    let file = try TemporaryFile(beside: path)
    try Array("hello".utf8).withUnsafeBytes { try file.file.write($0, at: 0) }
    try file.publish(mode: 0o640, modified: Timestamp(rawValue: 1_000_000_000_000_000_007))
    let state = try LocalFile(reading: path).state()
    #expect(state.mode == 0o640 && state.modified == 1_000_000_000_000_000_007 && state.length == 5)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["out"])
  }
}
