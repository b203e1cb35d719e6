import DFSCore

/// Appends little-endian numbers and bytes to a record.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
  mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }
  mutating func append(_ digest: Digest) { digest.withUnsafeBytes { bytes.append(contentsOf: $0) } }
}

/// Reads what a `ByteWriter` wrote; throws `.corrupt` instead of reading past the end.
struct ByteReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  /// `bytes` must stay in place as long as the reader is used.
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var rest: Int { bytes.count - position }

  mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= rest else { throw DFSError(.corrupt, "the record is cut short") }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws -> Number {
    let size = MemoryLayout<Number>.size
    return Number(littleEndian: try take(size).loadUnaligned(as: Number.self))
  }

  mutating func digest() throws -> Digest { Digest(loading: try take(Digest.byteCount)) }
}
