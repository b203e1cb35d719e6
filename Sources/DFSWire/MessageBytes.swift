package import NIOCore
package import SwiftProtobuf

/// Lets SwiftProtobuf read from and write into a `ByteBuffer` without an array in between.
struct MessageBytes: SwiftProtobufContiguousBytes {
  var buffer: ByteBuffer

  init(_ buffer: ByteBuffer) { self.buffer = buffer }

  init(repeating byte: UInt8, count: Int) {
    buffer = ByteBuffer(repeating: byte, count: count)
  }

  init<Bytes: Sequence>(_ bytes: Bytes) where Bytes.Element == UInt8 {
    buffer = ByteBuffer(bytes: bytes)
  }

  var count: Int { buffer.readableBytes }

  func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try buffer.withUnsafeReadableBytes(body)
  }

  mutating func withUnsafeMutableBytes<Result>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try buffer.withUnsafeMutableReadableBytes(body)
  }
}

extension Message {
  /// The protobuf encoding.
  package func encoded() throws -> ByteBuffer {
    let bytes: MessageBytes = try serializedBytes()
    return bytes.buffer
  }

  /// Reads a whole message. Throws SwiftProtobuf's error on malformed bytes; unknown fields are kept.
  package init(decoding buffer: ByteBuffer) throws {
    try self.init(serializedBytes: MessageBytes(buffer))
  }
}
