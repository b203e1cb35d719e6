/// One component of a path: 1 to 255 bytes of UTF-8 without `/` or NUL, and neither `.` nor `..`.
/// Compared and ordered byte by byte, never by Unicode equivalence.
public struct FileName: Hashable, Sendable, Comparable, CustomStringConvertible {
  public static let longest = 255

  public let bytes: [UInt8]

  /// Throws `.invalidArgument` that says which rule the name breaks.
  public init(_ text: some StringProtocol) throws { try self.init(bytes: Array(text.utf8)) }

  /// As above, for bytes from a peer, which also may not be UTF-8.
  public init(bytes: [UInt8]) throws {
    func refuse(_ why: String) -> DFSError {
      DFSError(.invalidArgument, "\"\(String(decoding: bytes, as: UTF8.self))\" is no file name: \(why)")
    }
    guard !bytes.isEmpty else { throw refuse("it is empty") }
    guard bytes.count <= Self.longest else { throw refuse("it is longer than 255 bytes") }
    guard bytes != [0x2E], bytes != [0x2E, 0x2E] else { throw refuse("\".\" and \"..\" are not kept") }
    guard !bytes.contains(0x2F), !bytes.contains(0) else { throw refuse("\"/\" and NUL are not allowed") }
    guard String(validating: bytes, as: UTF8.self) != nil else { throw refuse("it is not UTF-8") }
    self.bytes = bytes
  }

  public var description: String { String(decoding: bytes, as: UTF8.self) }
  public static func < (left: Self, right: Self) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }
}
