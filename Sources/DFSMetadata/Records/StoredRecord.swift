import DFSCore

/// A value of the key schema. Its encoding begins with a version, and decoding is strict.
protocol StoredRecord {
  static var what: StaticString { get }
  static var version: UInt8 { get }
  func writeFields(to writer: inout RecordWriter)
  init(fieldsFrom reader: inout RecordReader) throws
}

extension StoredRecord {
  static var version: UInt8 { 1 }

  var encoded: [UInt8] {
    var writer = RecordWriter()
    writer.byte(Self.version)
    writeFields(to: &writer)
    return writer.bytes
  }

  /// Throws `.corrupt`.
  init(stored bytes: [UInt8]) throws {
    var reader = RecordReader(bytes, Self.what)
    try reader.version(Self.version)
    try self.init(fieldsFrom: &reader)
    try reader.finish()
  }
}
