import DFSCore

/// `x/`: something to reap, and how far the reaper has come. The inode is in the key.
struct CondemnedRecord: StoredRecord, Hashable {
  var kind: ReapPage.Kind
  /// The next segment or allocation page.
  var cursor: UInt32 = 0
  /// Allocation pages, for uploads and leftovers.
  var pages: UInt32 = 0
  /// Of the mutation that condemned it.
  var revision: Revision

  static let what: StaticString = "condemned"

  init(kind: ReapPage.Kind, pages: UInt32 = 0, revision: Revision) {
    self.kind = kind
    self.pages = pages
    self.revision = revision
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.byte(kind.rawValue)
    writer.number(cursor)
    writer.number(pages)
    writer.revision(revision)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.choice()
    cursor = try reader.number()
    pages = try reader.number()
    revision = try reader.revision()
  }
}

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
