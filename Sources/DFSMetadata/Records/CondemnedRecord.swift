import DFSCore

/// `x/`: something to reap, and how far the reaper has come. The inode is in the key.
struct CondemnedRecord: StoredRecord, Hashable {
  var kind: ReapPage.Kind
  /// The next segment or allocation page; for trees, how many steps were taken.
  var cursor: UInt32 = 0
  /// The last name that was dealt with, for trees.
  var name: FileName?
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
    writer.optional(name) { $0.name($1) }
    writer.number(pages)
    writer.revision(revision)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.choice()
    cursor = try reader.number()
    name = try reader.optional { try $0.name() }
    pages = try reader.number()
    revision = try reader.revision()
  }
}
