import DFSCore

/// `o/`: what a mutation answered, for the same request id to be answered again.
struct OutcomeRecord: StoredRecord, Hashable {
  /// Raw, so that an outcome of an operation that this program lost is still a record.
  var kind: UInt8
  var arguments: StateDigest
  var revision: Revision
  var outcome: [UInt8]

  static let what: StaticString = "outcome"

  init(kind: OperationKind, arguments: StateDigest, revision: Revision, outcome: [UInt8]) {
    self.kind = kind.rawValue
    self.arguments = arguments
    self.revision = revision
    self.outcome = outcome
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.byte(kind)
    writer.stateDigest(arguments)
    writer.revision(revision)
    writer.blob(outcome)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.byte()
    arguments = try reader.stateDigest()
    revision = try reader.revision()
    outcome = try reader.blob(upTo: 1 << 16)
  }
}
