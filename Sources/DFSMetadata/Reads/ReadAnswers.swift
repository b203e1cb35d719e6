package import DFSCore

package struct UploadTarget: Sendable, Hashable {
  package var parent: InodeID
  /// Of the directory.
  package var policy: PlacementPolicy
}

package struct Lookup: Sendable, Hashable {
  package var status: EntryStatus
  package var contents: Contents
  /// Every group that the first page names.
  package var groups: [PlacementGroup]

  package enum Contents: Sendable, Hashable {
    case directory
    case inline([UInt8])
    case chunks(ManifestPage)
  }
}

/// What `resume` tells a client about its own upload.
package struct OpenUpload: Sendable, Hashable {
  package var upload: UploadID
  package var parent: InodeID
  package var name: FileName
  package var precondition: WritePrecondition
  package var attributes: FileAttributes
  package var chunkSize: ChunkSize
  package var policy: PlacementPolicy
  /// Indices `0 ..< allocated` are allocated: ask `allocation(_:page:)` for their groups.
  package var allocated: UInt32
  package var sealedSegments: UInt32
  package var sealedChunks: UInt64
  package var sealedBytes: ByteCount
}

/// A place in a walk over a tree: opaque, bounded by the depth of paths.
package struct UsageCursor: Sendable, Hashable {
  package var names: [FileName]
  package init(names: [FileName]) { self.names = names }
}

package struct UsageStep: Sendable, Hashable {
  package var files: UInt64 = 0
  package var directories: UInt64 = 0
  package var bytes: ByteCount = .zero
  /// Bytes times copies; contents in the metadata count once.
  package var storedBytes: ByteCount = .zero
  package var next: UsageCursor?
}
