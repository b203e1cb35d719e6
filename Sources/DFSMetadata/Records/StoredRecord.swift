import DFSCore

/// A value of the key schema. Its encoding begins with a version, and decoding is strict.
protocol StoredRecord {
  static var what: StaticString { get }
  /// What is written.
  static var version: UInt8 { get }
  /// The oldest that is still read; `reader.recordVersion` tells which one it is.
  static var oldestVersion: UInt8 { get }
  func writeFields(to writer: inout RecordWriter)
  init(fieldsFrom reader: inout RecordReader) throws
}

extension StoredRecord {
  static var version: UInt8 { 1 }
  static var oldestVersion: UInt8 { version }

  var encoded: [UInt8] {
    var writer = RecordWriter()
    writer.byte(Self.version)
    writeFields(to: &writer)
    return writer.bytes
  }

  /// Throws `.corrupt`.
  init(stored bytes: [UInt8]) throws {
    var reader = RecordReader(bytes, Self.what)
    try reader.version(Self.oldestVersion...Self.version)
    try self.init(fieldsFrom: &reader)
    try reader.finish()
  }
}
