/// One received header list, in order. The session fills one block again and again, so what outlives the
/// delegate's call is copied out of it.
package struct HeaderBlock {
  private struct Field {
    var start: Int
    var nameCount: Int
    var valueCount: Int
  }

  private var bytes: [UInt8] = []
  private var fields: [Field] = []
  /// As HTTP/2 counts it (RFC 9113, 6.5.2): names, values and 32 bytes each.
  private(set) var listSize = 0
  /// The list went past the limit; the rest was not kept.
  package internal(set) var isTooLarge = false

  init() {}

  package var count: Int { fields.count }

  mutating func reset() {
    bytes.removeAll(keepingCapacity: bytes.capacity <= 16 << 10)
    fields.removeAll(keepingCapacity: true)
    listSize = 0
    isTooLarge = false
  }

  mutating func append(
    name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, limit: Int
  ) {
    listSize += name.count + value.count + 32
    guard listSize <= limit else {
      isTooLarge = true
      return
    }
    fields.append(Field(start: bytes.count, nameCount: name.count, valueCount: value.count))
    bytes.append(contentsOf: name)
    bytes.append(contentsOf: value)
  }

  /// The first value under `name`, which is lower case.
  package func value(of name: StaticString) -> String? {
    for (index, field) in fields.enumerated() where field.nameCount == name.utf8CodeUnitCount {
      if nameStarts(index, with: name) { return value(at: index) }
    }
    return nil
  }

  /// Whether the first value under `name` is exactly `expected`, without making a string of it.
  package func value(of name: StaticString, is expected: StaticString) -> Bool {
    for (index, field) in fields.enumerated() where field.nameCount == name.utf8CodeUnitCount {
      guard nameStarts(index, with: name) else { continue }
      return field.valueCount == expected.utf8CodeUnitCount
        && matches(expected, at: field.start + field.nameCount)
    }
    return false
  }

  package func nameStarts(_ index: Int, with prefix: StaticString) -> Bool {
    fields[index].nameCount >= prefix.utf8CodeUnitCount && matches(prefix, at: fields[index].start)
  }

  package func isName(_ index: Int, _ name: StaticString) -> Bool {
    fields[index].nameCount == name.utf8CodeUnitCount && matches(name, at: fields[index].start)
  }

  package func name(at index: Int) -> String {
    let field = fields[index]
    return String(decoding: bytes[field.start..<field.start + field.nameCount], as: UTF8.self)
  }

  package func value(at index: Int) -> String {
    let field = fields[index]
    let start = field.start + field.nameCount
    return String(decoding: bytes[start..<start + field.valueCount], as: UTF8.self)
  }

  private func matches(_ text: StaticString, at start: Int) -> Bool {
    text.withUTF8Buffer { text in
      for offset in 0..<text.count where bytes[start + offset] != text[offset] { return false }
      return true
    }
  }
}

/// A header list to send. Build the usual ones once: sending does not change them.
package struct HeaderList: Sendable {
  var bytes: [UInt8] = []
  var lengths: [(name: Int, value: Int, isIndexed: Bool)] = []

  package init() {}

  package init(_ fields: KeyValuePairs<String, String>) {
    for (name, value) in fields { append(name, value) }
  }

  /// Adds a field; `name` is lower case, and neither holds line breaks or NUL. A value that is another
  /// each time is better not indexed: it would push the others out of the compressor's table.
  package mutating func append(_ name: String, _ value: String, isIndexed: Bool = true) {
    bytes.append(contentsOf: name.utf8)
    bytes.append(contentsOf: value.utf8)
    lengths.append((name.utf8.count, value.utf8.count, isIndexed))
  }
}
