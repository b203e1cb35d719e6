import DFSCore

/// `m/cluster`: what every store of a cluster agrees on.
struct ClusterRecord: StoredRecord, Hashable {
  var cluster: ClusterID
  /// Of everything beneath: a program refuses a newer one than its own.
  var format: UInt32
  /// Names of optional formats in use; a program refuses one that it does not know.
  var features: [String]
  /// Raised by a restore only.
  var incarnation: UInt16
  /// Since version 2: set by a restore, until a person releases it. Nothing is reaped or condemned meanwhile:
  /// chunks that only the lost rounds knew must not be taken for orphans.
  var isHeld = false

  static let what: StaticString = "cluster"
  static let version: UInt8 = 2
  static let oldestVersion: UInt8 = 1
  static let newestFormat: UInt32 = 1
  static let knownFeatures: Set<String> = []

  init(cluster: ClusterID) {
    self.cluster = cluster
    format = Self.newestFormat
    features = []
    incarnation = 1
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.fixed(cluster.rawValue)
    writer.number(format)
    writer.number(UInt(features.count))
    for feature in features { writer.text(feature) }
    writer.number(incarnation)
    writer.byte(isHeld ? 1 : 0)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    cluster = ClusterID(rawValue: try reader.fixed())
    format = try reader.number()
    features = try (0..<(try reader.count(upTo: 64))).map { _ in try reader.text(upTo: 64) }
    incarnation = try reader.number()
    if reader.recordVersion >= 2 { isHeld = try reader.optional { _ in } != nil }
  }
}

extension RoundMark: StoredRecord {
  static let what: StaticString = "round"

  func writeFields(to writer: inout RecordWriter) {
    writer.fixed(term)
    writer.fixed(round)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    self.init(term: try reader.fixed(), round: try reader.fixed())
  }
}
