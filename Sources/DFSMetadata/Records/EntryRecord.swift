import DFSCore

/// `e/`: what a name stands for.
struct EntryRecord: StoredRecord, Hashable {
  var inode: InodeID
  var kind: EntryKind
  /// Of the mutation that bound the name to this inode.
  var revision: Revision

  static let what: StaticString = "entry"

  init(inode: InodeID, kind: EntryKind, revision: Revision) {
    self.inode = inode
    self.kind = kind
    self.revision = revision
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.byte(kind.rawValue)
    writer.inode(inode)
    writer.revision(revision)
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.choice()
    inode = try reader.inode()
    revision = try reader.revision()
  }
}

/// `c/`: 1 to 512 references of one file's chunks, in the file's order.
struct SegmentRecord: StoredRecord, Hashable {
  var chunks: [ChunkReference]

  static let what: StaticString = "segment"

  init(chunks: [ChunkReference]) { self.chunks = chunks }
  func writeFields(to writer: inout RecordWriter) { writer.references(chunks) }
  init(fieldsFrom reader: inout RecordReader) throws {
    chunks = try reader.references(upTo: Limits.segmentChunks)
  }
}
