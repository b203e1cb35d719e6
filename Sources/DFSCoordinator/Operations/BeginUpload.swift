import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func beginUpload(_ request: WireBeginUploadRequest) async throws -> WireBeginUploadResponse {
    let id = try RequestID(request.requestID)
    let path = try filePath(request.path)
    let chunkSize = try wantedChunkSize(request.chunkSize)
    let wanted = try PlacementPolicy.wanted(request.replicas)
    let precondition = try WritePrecondition(request.precondition)
    try check(Int(request.chunks), atMost: Limits.allocation, "chunks")
    try check(request.avoidGroups.count, atMost: 10_000, "avoided groups")
    var count = max(1, Int(request.chunks))
    if request.hasExpectedLength {
      let expected = Int64(min(request.expectedLength, UInt64(Int64.max / 2)))
      count = Int(min(Int64(count), max(1, chunkSize.chunkCount(of: expected))))
    }

    let target = try await parent(of: path, makeParents: request.makeParents, id: id)
    let policy = wanted ?? target.policy
    try await requireGroups(policy)
    let avoided = Set(request.avoidGroups.map { GroupID(rawValue: $0) })
    let chosen = try chooseGroups(count, policy: policy, avoiding: avoided, seed: id.low)
    let settled = try await namespace.mutate(
      BeginUpload(
        target: path, attributes: .unset, precondition: precondition, chunkSize: chunkSize, policy: wanted,
        groups: chosen),
      id: id)
    // A retry is answered with what was allocated then, not with what was chosen now.
    let upload = settled.outcome.upload
    let allocated =
      settled.isReplay
      ? try await allocatedGroups(of: upload, in: 0..<settled.outcome.allocated) : chosen

    var response = WireBeginUploadResponse()
    let placement = cluster.answer(groups: allocated)
    response.upload = upload.rawValue
    response.chunkSize = UInt32(chunkSize.bytes)
    response.replicas = UInt32(policy.replicas)
    response.leaseMs = UInt64(configuration.namespace.uploadLease.milliseconds)
    response.allocations = WireAllocation.runs(of: allocated, from: 0)
    response.groups = placement.groups
    response.nodes = placement.nodes
    response.inlineLimit = UInt32(configuration.namespace.inlineLimit.int)
    response.revision = settled.revision.rawValue
    response.epoch = WireEpoch(namespace.epoch)
    return response
  }

  private func wantedChunkSize(_ bytes: UInt32) throws -> ChunkSize {
    guard bytes != 0 else { return configuration.chunkSize }
    guard let size = ChunkSize(bytes: Int(bytes)) else {
      throw DFSError(
        .invalidArgument,
        "a chunk has 64 KiB times a power of two, at most 64 MiB; \(bytes) bytes is none of these")
    }
    return size
  }

  func filePath(_ text: String) throws -> RemotePath {
    let path = try RemotePath(text)
    guard !path.isRoot else { throw DFSError(.invalidArgument, "/ is a directory") }
    return path
  }

  /// The directory that `path` goes into; made first when it is missing and that was asked for.
  func parent(of path: RemotePath, makeParents: Bool, id: RequestID) async throws -> UploadTarget {
    do {
      return try await read(.few) { try $0.target(path) }
    } catch let error as DFSError where error.code == .notFound && makeParents {
      guard let parent = path.parent else { throw error }
      let attributes = FileAttributes(mode: 0o755, modified: FileTime(rawValue: 0))
      _ = try await namespace.mutate(
        MakeDirectory(path: parent, parents: .make, attributes: attributes), id: id.step(1))
      return try await read(.few) { try $0.target(path) }
    }
  }
}
