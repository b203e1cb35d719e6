/// The percent-encoding of the `grpc-message` trailer: printable ASCII but `%` stays, every other byte of the
/// UTF-8 becomes `%XX`.
package enum StatusMessage {
  /// Longest text that is sent, in bytes before encoding: headers are no place for essays, and the encoding
  /// can make three bytes of one.
  package static let longest = 1024

  /// Cuts a longer text at a character's boundary.
  package static func encode(_ message: String) -> String {
    let message = truncated(message)
    guard !message.utf8.allSatisfy({ isPlain($0) }) else { return message }
    var encoded: [UInt8] = []
    encoded.reserveCapacity(message.utf8.count * 2)
    for byte in message.utf8 {
      if isPlain(byte) {
        encoded.append(byte)
      } else {
        encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }

  /// Never fails, as the specification asks: what is no valid escape stays as it is, and bytes that are not
  /// UTF-8 become replacement characters.
  package static func decode(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
    let encoded = Array(text.utf8)
    var decoded: [UInt8] = []
    decoded.reserveCapacity(encoded.count)
    var index = 0
    while index < encoded.count {
      if encoded[index] == UInt8(ascii: "%"), index + 2 < encoded.count,
        let high = hexadecimalValue(encoded[index + 1]), let low = hexadecimalValue(encoded[index + 2])
      {
        decoded.append(high << 4 | low)
        index += 3
      } else {
        decoded.append(encoded[index])
        index += 1
      }
    }
    return String(decoding: decoded, as: UTF8.self)
  }

  private static let digits = Array("0123456789ABCDEF".utf8)

  private static func isPlain(_ byte: UInt8) -> Bool {
    (0x20...0x7E).contains(byte) && byte != UInt8(ascii: "%")
  }

  static func truncated(_ message: String) -> String {
    guard message.utf8.count > longest else { return message }
    var end = message.startIndex
    var length = 0
    while end < message.endIndex {
      length += message[end].utf8.count
      guard length <= longest - 3 else { break }
      end = message.index(after: end)
    }
    return message[..<end] + "…"
  }

  private static func hexadecimalValue(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
