/// Thirty-two bytes of SHA-256, held without a heap allocation. Big-endian words, so that comparing words
/// is comparing bytes.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 32

  private var words: (UInt64, UInt64, UInt64, UInt64)

  /// Reads exactly 32 bytes; `nil` for another length.
  public init?(_ bytes: some Sequence<UInt8>) {
    var words: [UInt64] = [0, 0, 0, 0]
    var count = 0
    for byte in bytes {
      guard count < Self.byteCount else { return nil }
      words[count / 8] = words[count / 8] << 8 | UInt64(byte)
      count += 1
    }
    guard count == Self.byteCount else { return nil }
    self.words = (words[0], words[1], words[2], words[3])
  }

  /// Reads the first 32 bytes of `bytes`, which must have as many.
  public init(loading bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count >= Self.byteCount, "a digest has 32 bytes")
    func word(_ offset: Int) -> UInt64 {
      UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    words = (word(0), word(8), word(16), word(24))
  }

  /// Calls `body` with the 32 bytes in order.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    let ordered = (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)
    return try Swift.withUnsafeBytes(of: ordered, body)
  }

  public var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

  /// Sixty-four hexadecimal digits.
  public var description: String {
    hexadecimal(words.0) + hexadecimal(words.1) + hexadecimal(words.2) + hexadecimal(words.3)
  }

  public static func == (left: Self, right: Self) -> Bool { left.words == right.words }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }
}
