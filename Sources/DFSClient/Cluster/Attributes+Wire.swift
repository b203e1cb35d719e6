import DFSCore
import DFSWire
import Foundation

extension FileAttributes {
  /// Throws `.corrupt` for what no coordinator may send.
  init(_ wire: WireAttributes) throws {
    let kind: EntryKind
    switch wire.type {
    case .file: kind = .file
    case .directory: kind = .directory
    case .unspecified, .UNRECOGNIZED:
      throw DFSError(
        .unimplemented, "the coordinator sends an entry that is neither file nor directory; update dfsd here")
    }
    self.init(
      inode: InodeID(rawValue: wire.inode), kind: kind,
      length: ByteCount(rawValue: Int64(clamping: wire.length)),
      mode: UInt16(truncatingIfNeeded: wire.mode & 0o7777), modified: Timestamp(rawValue: wire.modifiedNs),
      created: Timestamp(rawValue: wire.createdNs), revision: Revision(rawValue: wire.revision),
      chunkSize: ChunkSize(bytes: Int(wire.chunkSize)), chunkCount: Int(clamping: wire.chunkCount),
      replicas: Int(wire.replicas),
      root: wire.root.isEmpty ? nil : try Digest(wire: wire.root, "the root of a file"),
      isInline: wire.isInline, owner: wire.owner,
      userAttributes: wire.userAttributes.mapValues { [UInt8]($0) })
  }
}

extension WireNewAttributes {
  init(_ options: UploadOptions, _ source: SourceAttributes) {
    self.init()
    mode = UInt32(options.mode ?? source.mode ?? 0)
    modifiedNs = options.modified?.rawValue ?? source.modified?.rawValue ?? 0
    owner = options.owner
    userAttributes = options.userAttributes.mapValues { Data($0) }
  }
}

extension WirePrecondition {
  init(_ condition: WriteCondition) {
    self.init()
    switch condition {
    case .ifAbsent: ifAbsent = true
    case .ifRevision(let revision): ifRevision = revision.rawValue
    }
  }
}

extension ByteCount {
  init(clamping value: UInt64) { self.init(rawValue: Int64(clamping: value)) }
}
