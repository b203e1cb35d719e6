package import DFSCore

/// Writes the stored encoding: a version byte, then fields in a fixed order; integers as LEB128 varints, byte
/// strings with their length first, digests as 32 bytes.
package struct RecordWriter: Sendable {
  package private(set) var bytes: [UInt8] = []

  package init(reserving count: Int = 64) { bytes.reserveCapacity(count) }

  package mutating func byte(_ value: UInt8) { bytes.append(value) }

  package mutating func number(_ value: some FixedWidthInteger & UnsignedInteger) {
    var rest = UInt64(value)
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// Zigzag, so that small negative numbers stay short.
  package mutating func signed(_ value: Int64) { number(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }

  package mutating func fixed(_ value: UInt64) {
    Swift.withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  package mutating func blob(_ value: [UInt8]) {
    number(UInt(value.count))
    bytes.append(contentsOf: value)
  }

  package mutating func text(_ value: String) {
    var value = value
    value.withUTF8 {
      number(UInt($0.count))
      bytes.append(contentsOf: $0)
    }
  }

  package mutating func digest(_ value: Digest) { value.withUnsafeBytes { bytes.append(contentsOf: $0) } }

  package mutating func optional<Value>(_ value: Value?, _ write: (inout RecordWriter, Value) -> Void) {
    guard let value else { return byte(0) }
    byte(1)
    write(&self, value)
  }
}
