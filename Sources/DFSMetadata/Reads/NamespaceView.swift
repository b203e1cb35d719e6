package import DFSCore
import DFSKeyValue

/// The namespace at one revision. Every method blocks on the local store, or, where that may not ask the disk, throws
/// `NotInMemory` instead.
package struct NamespaceView: Sendable {
  let reader: any StoreReader
  package let revision: Revision
}

extension NamespaceView: RecordSource {
  func bytes(at key: [UInt8]) throws -> [UInt8]? { try reader.value(for: key) }
}

extension NamespaceView {
  package func stat(_ path: RemotePath) throws -> EntryStatus {
    var source = self
    let entry = try source.resolve(path)
    return EntryStatus(entry, try inodeRecord(entry, path))
  }

  /// What is known of a version or directory, whatever its name is now; `nil` once it is gone. The revision
  /// of a file is that of its own commit. For the answer to a write, which names what it made, not what the
  /// path leads to since.
  package func version(_ inode: InodeID) throws -> EntryStatus? {
    var source = self
    guard let record = try source.record(Keys.inode(inode), InodeRecord.self) else { return nil }
    let entry =
      switch record {
      case .directory(let directory):
        EntryRecord(inode: inode, kind: .directory, revision: directory.revision)
      case .file(let file): EntryRecord(inode: inode, kind: .file, revision: file.revision)
      }
    return EntryStatus(entry, record)
  }

  /// The present path of a directory. Throws `.notFound` for one that hangs in no tree any more.
  package func path(of directory: InodeID) throws -> RemotePath {
    var source = self
    return try source.path(ofDirectory: directory)
  }

  /// Where an upload to `path` would go: the parent must exist. For the choice of groups before
  /// `BeginUpload`.
  package func target(_ path: RemotePath) throws -> UploadTarget {
    var source = self
    let parent = try source.parent(of: path)
    return UploadTarget(parent: parent, policy: try source.directory(parent).policy)
  }

  /// Attributes and the first manifest page in one answer.
  package func lookup(_ path: RemotePath) throws -> Lookup {
    var source = self
    let entry = try source.resolve(path)
    let record = try inodeRecord(entry, path)
    let status = EntryStatus(entry, record)
    guard case .file(let file) = record else {
      return Lookup(status: status, contents: .directory, groups: [])
    }
    if case .inline(let bytes) = file.contents {
      return Lookup(status: status, contents: .inline(bytes), groups: [])
    }
    let page = try manifestPage(entry.inode, file, page: 0)
    return Lookup(
      status: status, contents: .chunks(page), groups: try groups(Set(page.chunks.map(\.group)).sorted()))
  }

  /// A page of the manifest of a version, which may have lost its name meanwhile. Throws `.notFound` once it
  /// is reaped.
  package func manifest(_ inode: InodeID, page: UInt32) throws -> ManifestPage {
    var source = self
    guard case .file(let file) = try source.record(Keys.inode(inode), InodeRecord.self) else {
      throw DFSError(
        .notFound, "there is no file version \(inode): it was replaced or removed, and its time is over",
        metadata: ["inode": inode.description])
    }
    return try manifestPage(inode, file, page: page)
  }

  private func manifestPage(_ inode: InodeID, _ file: FileRecord, page: UInt32) throws -> ManifestPage {
    let first = UInt64(page) * UInt64(Limits.segmentChunks)
    switch file.contents {
    case .inline: return ManifestPage(firstChunk: 0, chunks: [], nextPage: nil)
    case .chunks(let chunks):
      return ManifestPage(firstChunk: first, chunks: page == 0 ? chunks : [], nextPage: nil)
    case .segments(let count):
      guard page < count else { return ManifestPage(firstChunk: first, chunks: [], nextPage: nil) }
      var source = self
      guard let segment = try source.record(Keys.segment(inode, page), SegmentRecord.self) else {
        // Reaping takes segments one after another, the inode last.
        throw DFSError(.notFound, "segment \(page) of the file version \(inode) is reaped already")
      }
      return ManifestPage(
        firstChunk: first, chunks: segment.chunks, nextPage: page + 1 < count ? page + 1 : nil)
    }
  }

  func inodeRecord(_ entry: EntryRecord, _ path: RemotePath) throws -> InodeRecord {
    var source = self
    guard let record = try source.record(Keys.inode(entry.inode), InodeRecord.self) else {
      throw DFSError(.corrupt, "\(path) names inode \(entry.inode), which has no record")
    }
    return record
  }
}
