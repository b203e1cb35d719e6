import DFSCore

/// `i/`: a directory, or one version of a file.
enum InodeRecord: StoredRecord, Hashable {
  case directory(DirectoryRecord)
  case file(FileRecord)

  static let what: StaticString = "inode"

  func writeFields(to writer: inout RecordWriter) {
    switch self {
    case .directory(let record):
      writer.byte(EntryKind.directory.rawValue)
      record.writeFields(to: &writer)
    case .file(let record):
      writer.byte(EntryKind.file.rawValue)
      record.writeFields(to: &writer)
    }
  }

  init(fieldsFrom reader: inout RecordReader) throws {
    switch try reader.choice(EntryKind.self) {
    case .directory: self = .directory(try DirectoryRecord(fieldsFrom: &reader))
    case .file: self = .file(try FileRecord(fieldsFrom: &reader))
    }
  }

  var attributes: FileAttributes {
    get {
      switch self {
      case .directory(let record): record.attributes
      case .file(let record): record.attributes
      }
    }
    set {
      switch self {
      case .directory(var record):
        record.attributes = newValue
        self = .directory(record)
      case .file(var record):
        record.attributes = newValue
        self = .file(record)
      }
    }
  }
}

struct DirectoryRecord: Hashable {
  /// Where its entry is; `nil` for the root, and for a tree that was removed and waits to be reaped.
  var place: Place?
  var attributes: FileAttributes
  var created: FileTime
  var policy: PlacementPolicy
  /// Of the mutation that made it.
  var revision: Revision

  struct Place: Hashable {
    var parent: InodeID
    var name: FileName
  }

  fileprivate func writeFields(to writer: inout RecordWriter) {
    writer.optional(place) { writer, place in
      writer.inode(place.parent)
      writer.name(place.name)
    }
    writer.attributes(attributes)
    writer.signed(created.rawValue)
    writer.policy(policy)
    writer.revision(revision)
  }
}

extension DirectoryRecord {
  fileprivate init(fieldsFrom reader: inout RecordReader) throws {
    place = try reader.optional { Place(parent: try $0.inode(), name: try $0.name()) }
    attributes = try reader.attributes()
    created = FileTime(rawValue: try reader.signed())
    policy = try reader.policy()
    revision = try reader.revision()
  }
}

struct FileRecord: Hashable {
  var attributes: FileAttributes
  var created: FileTime
  var policy: PlacementPolicy
  var size: ByteCount
  var chunkSize: ChunkSize
  var chunkCount: UInt64
  var root: Digest
  var contents: Contents
  /// Of the mutation that published it.
  var revision: Revision

  enum Contents: Hashable {
    case inline([UInt8])
    /// At most `Limits.inodeChunks`.
    case chunks([ChunkReference])
    /// The references are in this many `c/` records.
    case segments(UInt32)
  }

  /// Inline bytes of any engine fit; the namespace's own limit is smaller.
  static let longestInline = 1 << 20

  var isInline: Bool {
    if case .inline = contents { true } else { false }
  }

  fileprivate func writeFields(to writer: inout RecordWriter) {
    writer.attributes(attributes)
    writer.signed(created.rawValue)
    writer.policy(policy)
    writer.length(size)
    writer.chunkSize(chunkSize)
    writer.number(chunkCount)
    // The kind of the root: 1 is canonical; 2, composite, is reserved.
    writer.byte(1)
    writer.digest(root)
    writer.revision(revision)
    switch contents {
    case .inline(let bytes):
      writer.byte(1)
      writer.blob(bytes)
    case .chunks(let references):
      writer.byte(2)
      writer.references(references)
    case .segments(let count):
      writer.byte(3)
      writer.number(count)
    }
  }
}

extension FileRecord {
  fileprivate init(fieldsFrom reader: inout RecordReader) throws {
    attributes = try reader.attributes()
    created = FileTime(rawValue: try reader.signed())
    policy = try reader.policy()
    size = try reader.length()
    chunkSize = try reader.chunkSize()
    chunkCount = try reader.number()
    guard try reader.byte() == 1 else { throw reader.corrupt("the kind of a file's root is unknown") }
    root = try reader.digest()
    revision = try reader.revision()
    switch try reader.byte() {
    case 1: contents = .inline(try reader.blob(upTo: Self.longestInline))
    case 2: contents = .chunks(try reader.references(upTo: Limits.inodeChunks))
    case 3: contents = .segments(try reader.number())
    default: throw reader.corrupt("the kind of a file's contents is unknown")
    }
  }
}
