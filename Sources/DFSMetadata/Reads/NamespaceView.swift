package import DFSCore
import DFSKeyValue

/// The namespace at one revision. Every method blocks on the local store.
package struct NamespaceView: Sendable {
  let reader: any StoreReader
  package let revision: Revision
}

extension NamespaceView {
  package func stat(_ path: RemotePath) throws -> EntryStatus { throw missing }

  /// What is known of a version or directory, whatever its name is now; `nil` once it is gone. The revision of a
  /// file is that of its own commit. For the answer to a write, which names what it made, not what the path leads to since.
  package func version(_ inode: InodeID) throws -> EntryStatus? { throw missing }

  /// The present path of a directory. Throws `.notFound` for one that hangs in no tree any more.
  package func path(of directory: InodeID) throws -> RemotePath { throw missing }

  /// Where an upload to `path` would go: the parent must exist. For the choice of groups before `BeginUpload`.
  package func target(_ path: RemotePath) throws -> UploadTarget { throw missing }

  /// Attributes and the first manifest page in one answer.
  package func lookup(_ path: RemotePath) throws -> Lookup { throw missing }

  /// A page of the manifest of a version, which may have lost its name meanwhile. Throws `.notFound` once it is reaped.
  package func manifest(_ inode: InodeID, page: UInt32) throws -> ManifestPage { throw missing }

  /// Counts what is beneath `path`, in bounded steps: pass the cursor that came back until there is none.
  package func usage(_ path: RemotePath, after cursor: UsageCursor? = nil, limit: Int) throws -> UsageStep {
    throw missing
  }

  /// What is known of an open upload, for a client that goes on with it. Throws `.notFound`.
  package func upload(_ upload: UploadID) throws -> OpenUpload { throw missing }

  /// The groups of the indices of one allocation page, in order.
  package func allocation(_ upload: UploadID, page: UInt32) throws -> [GroupID] { throw missing }

  /// The sealed references of one segment of an open upload.
  package func sealedSegment(_ upload: UploadID, _ segment: UInt32) throws -> [ChunkReference] { throw missing }

  package func group(_ id: GroupID) throws -> PlacementGroup? { throw missing }
  package func groups(_ ids: some Sequence<GroupID>) throws -> [PlacementGroup] { throw missing }
  package func groups(after: GroupID?, limit: Int) throws -> [PlacementGroup] { throw missing }
  package func node(_ id: NodeID) throws -> ClusterNode? { throw missing }
  package func nodes() throws -> [ClusterNode] { throw missing }
  /// The chunks of a group that versions and sealed segments name, in order of their ids.
  package func chunks(of group: GroupID, after: ChunkID?, limit: Int) throws -> [ChunkID] { throw missing }

  private var missing: DFSError { DFSError(.unimplemented, "reads are not there yet") }
}

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
