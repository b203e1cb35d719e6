import DFSCore

/// Where records are read from: a snapshot, or a round with its own changes. The walks from paths to records
/// are the same for both.
protocol RecordSource {
  mutating func bytes(at key: [UInt8]) throws -> [UInt8]?
}

extension RecordSource {
  mutating func record<Record: StoredRecord>(_ key: [UInt8], _: Record.Type = Record.self) throws -> Record? {
    try bytes(at: key).map { try Record(stored: $0) }
  }

  /// What `path` stands for, or `nil`. Throws when a directory on the way is missing or is a file.
  mutating func find(_ path: RemotePath) throws -> EntryRecord? {
    guard let name = path.components.last else { return .root }
    return try record(Keys.entry(try parent(of: path), name))
  }

  /// What `path` stands for; throws `.notFound`.
  mutating func resolve(_ path: RemotePath) throws -> EntryRecord {
    guard let entry = try find(path) else { throw Self.missing(path) }
    return entry
  }

  /// The directory that holds, or would hold, the last name of `path`.
  mutating func parent(of path: RemotePath) throws -> InodeID {
    var directory = InodeID.root
    for (depth, name) in path.components.dropLast().enumerated() {
      guard let entry = try record(Keys.entry(directory, name), EntryRecord.self) else {
        throw Self.missing(RemotePath(components: Array(path.components[...depth])))
      }
      guard entry.kind == .directory else {
        let place = RemotePath(components: Array(path.components[...depth]))
        throw DFSError(
          .failedPrecondition, "\(place) is a file, not a directory", metadata: ["path": place.description])
      }
      directory = entry.inode
    }
    return directory
  }

  /// The present path of a directory; `nil` for one that hangs in no tree any more.
  mutating func livingPath(ofDirectory directory: InodeID) throws -> RemotePath? {
    var names: [FileName] = []
    var inode = directory
    while inode != .root {
      guard names.count < Limits.deepestWalk,
        case .directory(let record) = try record(Keys.inode(inode), InodeRecord.self),
        let place = record.place
      else { return nil }
      names.append(place.name)
      inode = place.parent
    }
    return RemotePath(components: names.reversed())
  }

  /// The same; throws `.notFound`.
  mutating func path(ofDirectory directory: InodeID) throws -> RemotePath {
    guard let path = try livingPath(ofDirectory: directory) else {
      throw DFSError(
        .notFound, "the directory \(directory) was removed", metadata: ["inode": directory.description])
    }
    return path
  }

  /// The record of a directory that an entry names, or that is the root.
  mutating func directory(_ inode: InodeID) throws -> DirectoryRecord {
    guard case .directory(let record) = try record(Keys.inode(inode), InodeRecord.self) else {
      throw DFSError(.corrupt, "the directory with inode \(inode) has no record")
    }
    return record
  }

  /// The record of a version that an entry names.
  mutating func file(_ inode: InodeID) throws -> FileRecord {
    guard case .file(let record) = try record(Keys.inode(inode), InodeRecord.self) else {
      throw DFSError(.corrupt, "the file version with inode \(inode) has no record")
    }
    return record
  }

  mutating func openUpload(_ upload: UploadID) throws -> UploadRecord {
    guard let record = try record(Keys.upload(upload), UploadRecord.self) else {
      throw DFSError(
        .notFound, "there is no open upload \(upload): it was committed or aborted, or its lease ended",
        metadata: ["upload": upload.description])
    }
    return record
  }

  mutating func groupRow(_ id: GroupID) throws -> PlacementGroup? {
    try record(Keys.group(id), GroupRecord.self)?.group(id)
  }

  mutating func nodeRow(_ id: NodeID) throws -> ClusterNode? {
    try record(Keys.node(id), NodeRecord.self)?.node
  }

  static func missing(_ path: RemotePath) -> DFSError {
    DFSError(.notFound, "\(path) does not exist", metadata: ["path": path.description])
  }
}

extension EntryRecord {
  /// `/` has no entry of its own.
  static let root = EntryRecord(inode: .root, kind: .directory, revision: .zero)
}

extension EntryStatus {
  init(_ entry: EntryRecord, _ record: InodeRecord) {
    self.init(
      inode: entry.inode, kind: entry.kind, revision: entry.revision, attributes: record.attributes,
      created: FileTime(rawValue: 0), policy: .standard, size: .zero, chunkSize: .standard, chunkCount: 0,
      root: nil)
    switch record {
    case .directory(let directory):
      created = directory.created
      policy = directory.policy
    case .file(let file):
      created = file.created
      policy = file.policy
      size = file.size
      chunkSize = file.chunkSize
      chunkCount = file.chunkCount
      root = file.root
    }
  }
}
