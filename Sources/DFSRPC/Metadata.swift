import DFSCore

/// What a call carries beside its messages: names with text values, and names that end in `-bin` with
/// binary ones. A name may occur several times; the order of values under one name is kept.
///
/// Every entry was checked when it entered, whether it came from a caller or from a peer, so a value of this
/// type can always be sent. Names are lower case (`0-9 a-z _ - .`); text is printable ASCII without blanks at
/// its ends. Names that the protocol uses itself are refused. See PROTOCOL-HTTP2.md, "Custom-Metadata".
package struct Metadata: Sendable, Hashable {
  package enum Value: Sendable, Hashable {
    case text(String)
    case binary([UInt8])
  }

  package struct Entry: Sendable, Hashable {
    package let name: String
    package let value: Value
  }

  /// What one call's metadata may take as HTTP/2 counts it: name, value and 32 bytes for each entry.
  package static let largestSize = 16 << 10

  package private(set) var entries: [Entry] = []
  /// The header list size of all entries (RFC 9113, 6.5.2): at most `largestSize`.
  package private(set) var size = 0

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }
  package var count: Int { entries.count }

  /// The first text value under `name`.
  package subscript(name: String) -> String? {
    for entry in entries where entry.name == name {
      if case .text(let text) = entry.value { return text }
    }
    return nil
  }

  /// The first binary value under `name`, which ends in `-bin`.
  package subscript(binary name: String) -> [UInt8]? {
    for entry in entries where entry.name == name {
      if case .binary(let bytes) = entry.value { return bytes }
    }
    return nil
  }

  package func values(for name: String) -> [Value] { entries.filter { $0.name == name }.map(\.value) }

  /// Adds a text value. Throws `.invalidArgument` for a name or a text that can not be sent, `.exhausted`
  /// when the whole would be too large.
  package mutating func append(_ text: String, for name: String) throws {
    try Self.check(name: name)
    guard !Self.isBinary(name) else {
      throw DFSError(.invalidArgument, "metadata \"\(name)\" takes bytes, as its name ends in \"-bin\"")
    }
    try Self.check(text: text, of: name)
    try add(Entry(name: name, value: .text(text)))
  }

  /// Adds a binary value; `name` ends in `-bin`. Throws as `append(_:for:)` does.
  package mutating func append(binary bytes: [UInt8], for name: String) throws {
    try Self.check(name: name)
    guard Self.isBinary(name) else {
      throw DFSError(
        .invalidArgument, "metadata \"\(name)\" takes text: let the name of bytes end in \"-bin\"")
    }
    try add(Entry(name: name, value: .binary(bytes)))
  }

  package mutating func append(_ other: Metadata) throws {
    guard size + other.size <= Self.largestSize else { throw Self.tooLarge }
    entries += other.entries
    size += other.size
  }

  package mutating func removeAll(named name: String) {
    entries.removeAll { entry in
      guard entry.name == name else { return false }
      size -= Self.cost(name, entry.value)
      return true
    }
  }

  // MARK: - The wire

  /// Takes one header field of a peer. Fields the protocol owns (`isReserved`) are passed over. A `-bin`
  /// field may hold several values with commas between them. Throws `.invalidArgument` for what no peer may
  /// send.
  package mutating func appendField(name: String, value: String) throws {
    guard !Self.isReserved(name) else { return }
    try Self.check(name: name)
    guard Self.isBinary(name) else {
      let text = Self.trimmed(value)
      try Self.check(text: text, of: name)
      return try add(Entry(name: name, value: .text(text)))
    }
    for part in value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      guard let bytes = Base64.decode(part) else {
        throw DFSError(.invalidArgument, "metadata \"\(name)\" is not base64")
      }
      try add(Entry(name: name, value: .binary(bytes)))
    }
  }

  /// Calls `body` with each header field to send, in order. Binary values are base64 without padding.
  package func forEachField(_ body: (_ name: String, _ value: String) -> Void) {
    for entry in entries {
      switch entry.value {
      case .text(let text): body(entry.name, text)
      case .binary(let bytes): body(entry.name, Base64.encode(bytes))
      }
    }
  }

  /// Whether HTTP/2 or gRPC uses the name itself, so that it is never an application's.
  package static func isReserved(_ name: String) -> Bool {
    name.hasPrefix(":") || name.hasPrefix("grpc-") || reservedNames.contains(name)
  }

  private static let reservedNames: Set<String> = [
    "content-type", "content-length", "te", "user-agent", "host", "connection", "keep-alive",
    "proxy-connection", "transfer-encoding", "upgrade", "date", "server", "trailer", "expect",
  ]
  private static let tooLarge = DFSError(
    .exhausted, "the metadata of a call is limited to \(ByteCount(Metadata.largestSize))")

  private static func isBinary(_ name: String) -> Bool { name.hasSuffix("-bin") }

  private static func cost(_ name: String, _ value: Value) -> Int {
    switch value {
    case .text(let text): name.utf8.count + text.utf8.count + 32
    case .binary(let bytes): name.utf8.count + Base64.encodedLength(bytes.count) + 32
    }
  }

  private mutating func add(_ entry: Entry) throws {
    let cost = Self.cost(entry.name, entry.value)
    guard size + cost <= Self.largestSize else { throw Self.tooLarge }
    entries.append(entry)
    size += cost
  }

  private static func check(name: String) throws {
    let isLegal =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
        default: false
        }
      }
    guard isLegal else {
      throw DFSError(
        .invalidArgument, "\"\(name)\" is no metadata name: use 0-9, a-z, \"_\", \"-\" and \".\"")
    }
    guard !isReserved(name) else {
      throw DFSError(.invalidArgument, "the metadata name \"\(name)\" belongs to the protocol")
    }
  }

  private static func check(text: String, of name: String) throws {
    guard text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw DFSError(
        .invalidArgument, "metadata \"\(name)\" is not printable ASCII: send it under \"\(name)-bin\"")
    }
    guard text.utf8.first != 0x20, text.utf8.last != 0x20 else {
      throw DFSError(.invalidArgument, "metadata \"\(name)\" begins or ends with a blank, which peers drop")
    }
  }

  private static func trimmed(_ value: String) -> String {
    func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    guard value.utf8.first.map(isBlank) == true || value.utf8.last.map(isBlank) == true else { return value }
    let start = value.utf8.firstIndex { !isBlank($0) } ?? value.endIndex
    let end = value.utf8.lastIndex { !isBlank($0) }.map { value.utf8.index(after: $0) } ?? start
    return String(value[start..<end])
  }
}
