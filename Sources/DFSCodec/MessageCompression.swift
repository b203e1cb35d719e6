import CZlib
package import DFSCore

/// The compressed forms that gRPC names in `grpc-encoding`.
package enum MessageCompression: String, Sendable, CaseIterable {
  /// RFC 1952.
  case gzip
  /// RFC 1950: deflate in zlib's frame, which is what HTTP and gRPC mean by the word.
  case deflate

  private var windowBits: Int32 {
    switch self {
    case .gzip: 15 + 16
    case .deflate: 15
    }
  }

  /// Compresses `bytes` and hands the result to `sink` in pieces of up to 64 KiB, valid during the call only.
  package func compress(
    _ bytes: UnsafeRawBufferPointer, to sink: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    try requireCountable(bytes)
    var stream = z_stream()
    // Level 1: messages are compressed while a caller waits.
    let opened = deflateInit2_(
      &stream, 1, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Self.streamSize)
    guard opened == Z_OK else { throw DFSError(.exhausted, "zlib has no memory for a compressor") }
    defer { deflateEnd(&stream) }
    Self.setInput(bytes, of: &stream)
    try Self.drain(&stream, to: sink) { CZlib.deflate(&$0, Z_FINISH) }
  }

  /// Decompresses `bytes` and hands the result to `sink` in pieces. Throws `.exhausted` before more than
  /// `limit` bytes came out, and `.invalidArgument` when the input is malformed, cut short or followed by
  /// something else.
  package func decompress(
    _ bytes: UnsafeRawBufferPointer, limit: ByteCount, to sink: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    try requireCountable(bytes)
    var stream = z_stream()
    guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Self.streamSize) == Z_OK else {
      throw DFSError(.exhausted, "zlib has no memory for a decompressor")
    }
    defer { inflateEnd(&stream) }
    Self.setInput(bytes, of: &stream)
    var total = 0
    let bounded: (UnsafeRawBufferPointer) throws -> Void = { piece in
      total += piece.count
      guard total <= limit.int else {
        throw DFSError(.exhausted, "a \(rawValue) message is longer than \(limit) when decompressed")
      }
      try sink(piece)
    }
    try Self.drain(&stream, to: bounded) { inflate(&$0, Z_NO_FLUSH) }
    guard stream.avail_in == 0 else {
      throw DFSError(.invalidArgument, "bytes follow the end of a \(rawValue) message")
    }
  }

  package func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
    var result: [UInt8] = []
    try bytes.withUnsafeBytes { try compress($0) { result.append(contentsOf: $0) } }
    return result
  }

  package func decompressed(_ bytes: [UInt8], limit: ByteCount) throws -> [UInt8] {
    var result: [UInt8] = []
    try bytes.withUnsafeBytes { try decompress($0, limit: limit) { result.append(contentsOf: $0) } }
    return result
  }

  private static let streamSize = Int32(MemoryLayout<z_stream>.size)

  private func requireCountable(_ bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count <= Int32.max else {
      throw DFSError(.invalidArgument, "a message of \(ByteCount(bytes.count)) is too long for \(rawValue)")
    }
  }

  private static func setInput(_ bytes: UnsafeRawBufferPointer, of stream: inout z_stream) {
    // SAFETY: zlib only reads its input, and the caller keeps `bytes` in place until the stream has ended.
    let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.next_in = UnsafeMutablePointer(mutating: start)
    stream.avail_in = UInt32(bytes.count)
  }

  /// Steps the stream to its end and gives `sink` what comes out.
  private static func drain(
    _ stream: inout z_stream, to sink: (UnsafeRawBufferPointer) throws -> Void,
    step: (inout z_stream) -> Int32
  ) throws {
    try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64 << 10) { output in
      var state = Z_OK
      while state != Z_STREAM_END {
        stream.next_out = output.baseAddress
        stream.avail_out = UInt32(output.count)
        state = step(&stream)
        let produced = output.count - Int(stream.avail_out)
        guard state == Z_STREAM_END || (state == Z_OK && produced + Int(stream.avail_in) > 0) else {
          throw DFSError(.invalidArgument, "the compressed message is malformed or cut short")
        }
        try sink(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output)[..<produced]))
      }
    }
  }
}
