package import DFSCore

/// Reads what `RecordWriter` wrote, strictly: an unknown version, a field out of range, an overlong number, a
/// missing or a trailing byte is `.corrupt`. Never reads past the end, never allocates more than the input's
/// length.
package struct RecordReader {
  private let bytes: [UInt8]
  private var position = 0
  private let what: StaticString
  /// Of the record, once `version` has read it.
  package private(set) var recordVersion: UInt8 = 1

  package init(_ bytes: [UInt8], _ what: StaticString) {
    self.bytes = bytes
    self.what = what
  }

  package var remaining: Int { bytes.count - position }

  package func corrupt(_ why: String) -> DFSError {
    DFSError(.corrupt, "a stored record (\(what)) is damaged or of a newer format: \(why)")
  }

  package func finish() throws {
    guard remaining == 0 else { throw corrupt("\(remaining) bytes follow its end") }
  }

  package mutating func version(_ known: ClosedRange<UInt8>) throws {
    recordVersion = try byte()
    guard known.contains(recordVersion) else {
      throw corrupt("its version is \(recordVersion), this program knows up to \(known.upperBound)")
    }
  }

  package mutating func byte() throws -> UInt8 {
    guard position < bytes.count else { throw corrupt("it ends early") }
    defer { position += 1 }
    return bytes[position]
  }

  package mutating func number<Number: FixedWidthInteger & UnsignedInteger>(
    _: Number.Type = Number.self
  ) throws -> Number {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = try byte()
      guard shift < 63 || next <= 1 else { throw corrupt("a number is too large") }
      value |= UInt64(next & 0x7F) << shift
      if next < 0x80 {
        guard next != 0 || shift == 0 else { throw corrupt("a number is written too long") }
        break
      }
      shift += 7
    }
    guard let number = Number(exactly: value) else { throw corrupt("a number is out of range") }
    return number
  }

  package mutating func signed() throws -> Int64 {
    let value: UInt64 = try number()
    return Int64(bitPattern: (value >> 1)) ^ -Int64(bitPattern: value & 1)
  }

  package mutating func fixed() throws -> UInt64 {
    try take(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  package mutating func blob(upTo limit: Int) throws -> [UInt8] { try Array(take(try count(upTo: limit))) }

  package mutating func text(upTo limit: Int) throws -> String {
    guard let text = String(validating: try take(try count(upTo: limit)), as: UTF8.self) else {
      throw corrupt("a text is not UTF-8")
    }
    return text
  }

  package mutating func digest() throws -> Digest {
    guard let digest = Digest(try take(Digest.byteCount)) else { throw corrupt("a digest is cut short") }
    return digest
  }

  /// A number of things that follow, each at least a byte long.
  package mutating func count(upTo limit: Int) throws -> Int {
    let count = Int(clamping: try number(UInt64.self))
    guard count <= limit else { throw corrupt("it counts \(count) of something that ends at \(limit)") }
    guard count <= remaining else { throw corrupt("it ends early") }
    return count
  }

  package mutating func optional<Value>(_ read: (inout RecordReader) throws -> Value) throws -> Value? {
    switch try byte() {
    case 0: return nil
    case 1: return try read(&self)
    default: throw corrupt("an optional field's mark is neither 0 nor 1")
    }
  }

  package mutating func choice<Choice: RawRepresentable<UInt8>>(_: Choice.Type = Choice.self) throws -> Choice
  {
    let value = try byte()
    guard let choice = Choice(rawValue: value) else { throw corrupt("\(value) is none of a field's choices") }
    return choice
  }

  private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
    guard count <= remaining else { throw corrupt("it ends early") }
    defer { position += count }
    return bytes[position..<position + count]
  }
}
