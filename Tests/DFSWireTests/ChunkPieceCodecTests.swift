import DFSCore
import Foundation
import NIOCore
import SwiftProtobuf
import TestSupport
import Testing

@testable import DFSWire

@Suite struct `Chunk piece codec` {
  @Test func `a piece encodes to the bytes that SwiftProtobuf gives, and both decode it alike`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<200 {
      let piece = randomPiece(using: &random)
      var message = ChunkPieceCodec.head(of: piece)
      guard case .bytes(var payload) = piece.payload else { continue }
      message.writeBuffer(&payload)

      let wire = WireChunkData(piece)
      let asWrite = try WireWriteChunkRequest.with { $0.data = wire }.encoded()
      let asRead = try WireReadChunkResponse.with { $0.data = wire }.encoded()
      #expect(message == asWrite)
      #expect(message == asRead)

      let decoded = try #require(try ChunkPieceCodec.piece(in: asWrite))
      #expect(decoded.offset == piece.offset)
      #expect(decoded.checksums == piece.checksums)
      #expect(decoded.leaves == piece.leaves)
      #expect(WireChunkData(decoded) == wire)
    }
  }

  @Test func `a payload is a slice of the buffer it arrived in`() throws {
    let payload = ByteBuffer(repeating: 7, count: Block.size)
    let piece = ChunkPiece(offset: 0, checksums: [1], leaves: ByteBuffer(), payload: .bytes(payload))
    var message = ChunkPieceCodec.head(of: piece)
    message.writeImmutableBuffer(payload)
    let decoded = try #require(try ChunkPieceCodec.piece(in: message))
    guard case .bytes(let slice) = decoded.payload else {
      Issue.record("the payload is not bytes")
      return
    }
    let inMessage = message.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
    let inSlice = slice.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
    #expect(inSlice == inMessage + UInt(message.readableBytes - Block.size))
  }

  @Test func `a piece that breaks a rule is refused`() {
    let block = ByteBuffer(repeating: 1, count: Block.size)
    let refused: [ChunkPiece] = [
      ChunkPiece(offset: 1, checksums: [0], leaves: ByteBuffer(), payload: .bytes(block)),
      ChunkPiece(offset: 0, checksums: [], leaves: ByteBuffer(), payload: .bytes(block)),
      ChunkPiece(offset: 0, checksums: [0, 0], leaves: ByteBuffer(), payload: .bytes(block)),
      ChunkPiece(
        offset: 0, checksums: [0], leaves: ByteBuffer(repeating: 0, count: 31), payload: .bytes(block)),
      ChunkPiece(offset: 0, checksums: [], leaves: ByteBuffer(), payload: .bytes(ByteBuffer())),
      ChunkPiece(
        offset: UInt32(ChunkSize.largest), checksums: [0], leaves: ByteBuffer(), payload: .bytes(block)),
      ChunkPiece(
        offset: 0, checksums: Array(repeating: 0, count: 17), leaves: ByteBuffer(),
        payload: .bytes(ByteBuffer(repeating: 0, count: 17 * Block.size))),
    ]
    for piece in refused {
      #expect(throws: DFSError.self) { try ChunkPieceCodec.validate(piece) }
      var message = ChunkPieceCodec.head(of: piece)
      if case .bytes(let payload) = piece.payload { message.writeImmutableBuffer(payload) }
      #expect(throws: DFSError.self) { try DataNodeMethods.writeChunk.request.decode(message) }
      #expect(throws: DFSError.self) { try DataNodeMethods.readChunk.response.decode(message) }
    }
  }

  @Test func `fields in an unusual order are decoded by SwiftProtobuf`() throws {
    // payload, then offset: 4-byte payload "abcd", offset 65536, one checksum.
    let inner: [UInt8] = [0x22, 4] + Array("abcd".utf8) + [0x12, 4, 1, 0, 0, 0] + [0x08, 0x80, 0x80, 0x04]
    let message = ByteBuffer(bytes: [0x12, UInt8(inner.count)] + inner)
    #expect(try ChunkPieceCodec.piece(in: message) == nil)
    guard case .data(let piece) = try DataNodeMethods.writeChunk.request.decode(message) else {
      Issue.record("not decoded as data")
      return
    }
    #expect(piece.offset == 65536)
    #expect(piece.checksums == [1])
    #expect(piece.payload.byteCount == 4)
  }

  @Test func `random and mutilated bytes are refused or decoded, never a crash`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<3000 {
      var bytes: [UInt8]
      if Bool.random(using: &random) {
        bytes = random.bytes(Int.random(in: 0...64, using: &random))
      } else {
        let piece = randomPiece(largest: 300, using: &random)
        var message = ChunkPieceCodec.head(of: piece)
        if case .bytes(let payload) = piece.payload { message.writeImmutableBuffer(payload) }
        bytes = Array(buffer: message)
        for _ in 0...Int.random(in: 0...3, using: &random) {
          bytes[Int.random(in: 0..<min(bytes.count, 40), using: &random)] = UInt8.random(
            in: 0...255, using: &random)
        }
        bytes.removeLast(Int.random(in: 0...min(8, bytes.count), using: &random))
      }
      let message = ByteBuffer(bytes: bytes)
      do { _ = try DataNodeMethods.writeChunk.request.decode(message) } catch let error as DFSError {
        #expect(error.code == .invalidArgument)
      }
      do { _ = try DataNodeMethods.readChunk.response.decode(message) } catch let error as DFSError {
        #expect(error.code == .invalidArgument)
      }
    }
  }

  private func randomPiece(
    largest: Int = 5 * Block.size, using random: inout SeededGenerator
  ) -> ChunkPiece {
    let length = Int.random(in: 1...largest, using: &random)
    let blocks = Block.count(of: length)
    let first = UInt32.random(in: 0...1000, using: &random)
    return ChunkPiece(
      offset: first * UInt32(Block.size),
      checksums: (0..<blocks).map { _ in UInt32.random(in: 0...UInt32.max, using: &random) },
      leaves: Bool.random(using: &random)
        ? ByteBuffer() : ByteBuffer(bytes: random.bytes(blocks * Digest.byteCount)),
      payload: .bytes(ByteBuffer(repeating: UInt8.random(in: 0...255, using: &random), count: length)))
  }
}

extension WireChunkData {
  fileprivate init(_ piece: ChunkPiece) {
    self.init()
    offset = piece.offset
    blockCrc32C = piece.checksums
    leaves = Data(piece.leaves.readableBytesView)
    if case .bytes(let buffer) = piece.payload { payload = Data(buffer.readableBytesView) }
  }
}

@Suite struct `Variable-length numbers` {
  @Test func `every size is written as announced and read back`() {
    for shift in 0..<64 {
      for value in [
        UInt64(1) << UInt64(shift), (UInt64(1) << UInt64(shift)) - 1, UInt64.max >> UInt64(shift),
      ] {
        var buffer = ByteBuffer()
        Varint.write(value, into: &buffer)
        #expect(buffer.readableBytes == Varint.size(value))
        #expect(Varint.read(from: &buffer) == value)
      }
    }
  }

  @Test func `a number that ends early or passes 64 bits is refused`() {
    var short = ByteBuffer(bytes: [0x80])
    #expect(Varint.read(from: &short) == nil)
    var long = ByteBuffer(bytes: Array(repeating: 0xFF, count: 9) + [0x02])
    #expect(Varint.read(from: &long) == nil)
  }
}
