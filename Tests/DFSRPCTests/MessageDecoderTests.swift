import DFSCore
import DFSTransport
import NIOCore
import TestSupport
import Testing

@testable import DFSRPC

/// Messages that are received straight into their own memory, in pieces of any size.
struct `Messages and their room` {
  private func framed(_ body: [UInt8]) -> [UInt8] {
    [0] + withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
  }

  /// Feeds `stream` as a connection does: into the room where there is one and the dice say so, else from a buffer.
  private func decode(_ stream: [UInt8], seed: UInt64) throws -> [[UInt8]] {
    var generator = SeededGenerator(seed: seed)
    var decoder = MessageDecoder(limit: 8 << 20)
    var messages: [[UInt8]] = []
    var rest = stream[...]
    func feed(_ bytes: UnsafeRawBufferPointer) throws {
      try decoder.decode(bytes) { messages.append(Array($0.bytes.readableBytesView)) }
    }
    while !rest.isEmpty {
      let count = min(rest.count, Int.random(in: 1...200_000, using: &generator))
      if let room = decoder.room, Bool.random(using: &generator) {
        let direct = min(count, room.bytes.count)
        room.bytes.copyBytes(from: rest.prefix(direct))
        rest = rest.dropFirst(direct)
        try feed(UnsafeRawBufferPointer(rebasing: room.bytes[..<direct]))
        // The room is still held, as by whoever is about to read to it again.
        let more = Array(rest.prefix(100))
        rest = rest.dropFirst(more.count)
        try more.withUnsafeBytes { try feed($0) }
        withExtendedLifetime(room) {}
      } else {
        try Array(rest.prefix(count)).withUnsafeBytes { try feed($0) }
        rest = rest.dropFirst(count)
      }
    }
    #expect(decoder.isAtBoundary)
    return messages
  }

  @Test(arguments: 0..<20) func `every message comes whole, however it was received`(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    // One is longer than the memory that is set aside at once.
    let bodies = [0, 1, 70_000, 960 << 10, 3 << 20, 5, 0, 300_000].shuffled(using: &generator)
      .map { generator.bytes($0) }
    #expect(try decode(bodies.flatMap(framed), seed: seed) == bodies)
  }

  @Test func `there is room for what is missing of a message, and for nothing else`() throws {
    var decoder = MessageDecoder(limit: 1 << 20)
    #expect(decoder.room == nil)
    let stream = framed([1, 2, 3, 4, 5])
    var messages = 0
    try stream.prefix(3).withUnsafeBytes { try decoder.decode($0) { _ in messages += 1 } }
    #expect(decoder.room == nil)
    try stream[3..<7].withUnsafeBytes { try decoder.decode($0) { _ in messages += 1 } }
    #expect(decoder.room?.bytes.count == 3)
    try stream[7...].withUnsafeBytes { try decoder.decode($0) { _ in messages += 1 } }
    #expect(decoder.room == nil)
    #expect(messages == 1)
  }

  @Test(arguments: [64 << 10, (64 << 10) + 1, 983_040 + 571, (2 << 20) - 4096])
  func `a large message ends with a page, and what ends it can begin with one`(length: Int) throws {
    var decoder = MessageDecoder(limit: 4 << 20)
    var end: UInt?
    try framed([UInt8](repeating: 1, count: length)).withUnsafeBytes {
      try decoder.decode($0) { message in
        message.bytes.withUnsafeReadableBytes { end = UInt(bitPattern: $0.baseAddress) + UInt($0.count) }
      }
    }
    #expect(try #require(end) % 4096 == 0)
  }

  @Test func `what was written into the room and is no payload counts for nothing`() throws {
    var decoder = MessageDecoder(limit: 1 << 20)
    let body = [UInt8](repeating: 7, count: 50_000)
    let stream = framed(body)
    try stream.prefix(10).withUnsafeBytes { try decoder.decode($0) { _ in } }
    let room = try #require(decoder.room)
    room.bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
    var found: [UInt8] = []
    try stream.dropFirst(10).withUnsafeBytes {
      try decoder.decode($0) { found = Array($0.bytes.readableBytesView) }
    }
    #expect(found == body)
  }
}
