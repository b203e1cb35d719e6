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
  /// Since version 2, exactly for the kind `.orphans`.
  var orphans: Orphans?

  /// Chunks that no record of their owner names: the only list of them is here.
  struct Orphans: Hashable {
    var group: GroupID
    var chunks: [ChunkID]
    /// The nodes that were seen to have some of them.
    var holders: [NodeID]
  }

  static let what: StaticString = "condemned"
  static let version: UInt8 = 2
  static let oldestVersion: UInt8 = 1

  init(kind: ReapPage.Kind, pages: UInt32 = 0, revision: Revision) {
    precondition(kind != .orphans, "orphans are condemned with their list")
    self.kind = kind
    self.pages = pages
    self.revision = revision
  }

  init(_ orphans: Orphans, revision: Revision) {
    kind = .orphans
    self.revision = revision
    self.orphans = orphans
  }

  func writeFields(to writer: inout RecordWriter) {
    writer.byte(kind.rawValue)
    writer.number(cursor)
    writer.optional(name) { $0.name($1) }
    writer.number(pages)
    writer.revision(revision)
    guard let orphans else { return }
    writer.group(orphans.group)
    writer.number(UInt(orphans.chunks.count))
    for chunk in orphans.chunks {
      writer.inode(chunk.inode)
      writer.number(chunk.index)
    }
    writer.number(UInt(orphans.holders.count))
    for node in orphans.holders { writer.node(node) }
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    kind = try reader.choice()
    cursor = try reader.number()
    name = try reader.optional { try $0.name() }
    pages = try reader.number()
    revision = try reader.revision()
    guard kind == .orphans else { return }
    guard reader.recordVersion >= 2 else { throw reader.corrupt("its version knows no orphans") }
    let group = try reader.group()
    let chunks = try (0..<(try reader.count(upTo: Limits.orphansPerRecord))).map { _ in
      ChunkID(inode: try reader.inode(), index: try reader.number())
    }
    let holders = try (0..<(try reader.count(upTo: Limits.orphanHolders))).map { _ in try reader.node() }
    orphans = Orphans(group: group, chunks: chunks, holders: holders)
  }
}
