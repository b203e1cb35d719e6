import DFSCore
import Foundation
import NIOCore
import TestSupport
import Testing

@testable import DFSTransport

@Suite struct `Payload on its way out` {
  @Test func `pieces of any size come out as the bytes that went in`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let directory = try TemporaryDirectory()
    let content = (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    let path = directory.path + "/content"
    try Data(content).write(to: URL(fileURLWithPath: path))
    let handle = try NIOFileHandle(_deprecatedPath: path)
    defer { try? handle.close() }
    let budget = MemoryBudget(.mib(1))
    for _ in 0..<100 {
      var queue = PayloadQueue()
      var expected: [UInt8] = []
      for _ in 0..<Int.random(in: 0...10, using: &random) {
        switch Int.random(in: 0...3, using: &random) {
        case 0:
          var short = ShortBytes()
          for _ in 0..<Int.random(in: 0...8, using: &random) {
            let byte = UInt8.random(in: 0...255, using: &random)
            short.append(byte)
            expected.append(byte)
          }
          queue.append(.short(short))
        case 1:
          let bytes = content.prefix(Int.random(in: 0...5000, using: &random))
          queue.append(.buffer(ByteBuffer(bytes: bytes)))
          expected += bytes
        case 2:
          let bytes = content.prefix(Int.random(in: 1...5000, using: &random))
          queue.append(.lent(ByteBuffer(bytes: bytes), try #require(budget.take(bytes.count))))
          expected += bytes
        default:
          let start = Int.random(in: 0..<90_000, using: &random)
          let end = start + Int.random(in: 0...9000, using: &random)
          queue.append(
            .file(try FileSlice(FileRegion(fileHandle: handle, readerIndex: start, endIndex: end))))
          expected += content[start..<end]
        }
      }
      #expect(queue.byteCount == expected.count)
      var actual: [UInt8] = []
      while queue.byteCount > 0 {
        queue.take(Int.random(in: 1...queue.byteCount, using: &random)) { part in
          switch part {
          case .short(var bytes): while bytes.count > 0 { actual.append(bytes.takeFirst()) }
          case .buffer(let buffer), .lent(let buffer, _): actual += buffer.readableBytesView
          case .file(let slice): actual += ((try? slice.read()) ?? ByteBuffer()).readableBytesView
          }
        }
      }
      #expect(actual == expected)
      #expect(budget.available == 1 << 20)
    }
  }

  @Test func `a file that is shorter than its region is an error, not zeros`() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/short"
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
    let handle = try NIOFileHandle(_deprecatedPath: path)
    defer { try? handle.close() }
    let slice = try FileSlice(FileRegion(fileHandle: handle, readerIndex: 0, endIndex: 10))
    #expect(throws: (any Error).self) { try slice.read() }
  }
}
