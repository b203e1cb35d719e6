/// RFC 4648 base64 as gRPC's `-bin` metadata uses it: written without padding, read with or without it.
enum Base64 {
  static func encodedLength(_ count: Int) -> Int { (count * 4 + 2) / 3 }

  static func encode(_ bytes: [UInt8]) -> String {
    let length = encodedLength(bytes.count)
    return String(unsafeUninitializedCapacity: length) { output in
      // SAFETY: `position` ends at `length`, for which the buffer has room: four digits for three bytes, two
      // or three for the rest. All are ASCII.
      var position = 0
      var accumulator: UInt32 = 0
      var bits: UInt32 = 0
      for byte in bytes {
        accumulator = accumulator << 8 | UInt32(byte)
        bits += 8
        while bits >= 6 {
          bits -= 6
          output[position] = digits[Int(accumulator >> bits & 63)]
          position += 1
        }
      }
      if bits > 0 {
        output[position] = digits[Int(accumulator << (6 - bits) & 63)]
        position += 1
      }
      return position
    }
  }

  /// Gives nothing for a foreign character, padding in the wrong place or of the wrong length, a length that
  /// no encoder makes, and for left-over bits that are not zero (two texts must not mean the same bytes).
  static func decode(_ text: some BidirectionalCollection<UInt8>) -> [UInt8]? {
    var digitCount = text.count
    if let last = text.last, last == UInt8(ascii: "=") {
      guard digitCount % 4 == 0 else { return nil }
      digitCount -= text.dropLast().last == UInt8(ascii: "=") ? 2 : 1
    }
    guard digitCount % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digitCount * 3 / 4)
    var accumulator: UInt32 = 0
    var bits: UInt32 = 0
    for character in text.prefix(digitCount) {
      guard let value = value(of: character) else { return nil }
      accumulator = accumulator << 6 | value
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: accumulator >> bits))
      }
    }
    guard accumulator & (1 << bits - 1) == 0 else { return nil }
    return bytes
  }

  private static let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  private static func value(of character: UInt8) -> UInt32? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a") + 26)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0") + 52)
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
