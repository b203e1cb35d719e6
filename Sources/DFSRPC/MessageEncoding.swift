import DFSCodec
import DFSCore
import NIOCore

/// How the messages of a call are encoded on the wire.
package enum MessageEncoding: String, Sendable {
  case identity
  case deflate
  case gzip

  /// What we can read, for `grpc-accept-encoding`.
  static let accepted = "identity,deflate,gzip"
  /// Smaller messages are not worth compressing.
  static let worthwhile = 1 << 10

  private var compression: MessageCompression? {
    switch self {
    case .identity: nil
    case .deflate: .deflate
    case .gzip: .gzip
    }
  }

  /// The compressed form, or nothing where it is not worth it. File payload is never read to be compressed.
  func compress(_ message: OutgoingMessage) throws -> ByteBuffer? {
    guard let compression, message.byteCount >= Self.worthwhile else { return nil }
    var plain = message.head
    switch message.body {
    case .none: break
    case .buffer(let buffer), .lent(let buffer, _): plain.writeImmutableBuffer(buffer)
    case .file: return nil
    }
    var compressed = ByteBufferAllocator().buffer(capacity: message.byteCount / 2)
    try plain.withUnsafeReadableBytes { bytes in
      try compression.compress(bytes) { compressed.writeBytes($0) }
    }
    return compressed
  }

  /// The plain form of a message that was marked as compressed. Throws `.exhausted` over `limit`.
  func decompress(_ message: ByteBuffer, limit: Int) throws -> ByteBuffer {
    guard let compression else {
      throw DFSError(.invalidArgument, "a message is marked as compressed, but the call names no encoding")
    }
    var plain = ByteBufferAllocator().buffer(capacity: min(limit, message.readableBytes * 2))
    try message.withUnsafeReadableBytes { bytes in
      try compression.decompress(bytes, limit: ByteCount(limit)) { plain.writeBytes($0) }
    }
    return plain
  }
}
