import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func allocateChunks(_ request: WireAllocateChunksRequest) async throws -> WireAllocateChunksResponse {
    let id = try RequestID(request.requestID)
    guard request.chunks > 0 else { throw DFSError(.invalidArgument, "at least one chunk must be asked for") }
    try check(Int(request.chunks), atMost: Limits.allocation, "chunks")
    try check(request.avoidGroups.count, atMost: 10_000, "avoided groups")
    let upload = UploadID(rawValue: request.upload)
    let (policy, named) = try await read(.few) { view in
      let open = try view.upload(upload)
      let page = open.allocated / UInt32(Limits.segmentChunks)
      let isBegun = open.allocated % UInt32(Limits.segmentChunks) > 0
      return (open.policy, isBegun ? Set(try view.allocation(upload, page: page)) : [])
    }
    try await groups.require(policy)
    let avoided = Set(request.avoidGroups.map { GroupID(rawValue: $0) })
    let chosen = try chooseGroups(
      Int(request.chunks), policy: policy, avoiding: avoided, keeping: named,
      seed: upload.rawValue &* 0x9E37_79B9_7F4A_7C15)
    let settled = try await namespace.mutate(AllocateChunks(upload: upload, groups: chosen), id: id)
    let indices = settled.outcome.indices
    let allocated = settled.isReplay ? try await allocatedGroups(of: upload, in: indices) : chosen

    var response = WireAllocateChunksResponse()
    let placement = cluster.answer(groups: allocated)
    response.allocations = WireAllocation.runs(of: allocated, from: indices.lowerBound)
    response.groups = placement.groups
    response.nodes = placement.nodes
    response.revision = settled.revision.rawValue
    return response
  }

  /// Chooses groups and marks them used, so that their slots stay where they are.
  func chooseGroups(
    _ count: Int, policy: PlacementPolicy, avoiding avoided: Set<GroupID>, keeping named: Set<GroupID> = [],
    seed: UInt64
  ) throws -> [GroupID] {
    let time = now()
    var generator = SystemRandom()
    return try cluster.withState { state in
      do {
        let chosen = try state.allocator(for: policy, now: time)
          .choose(count, avoiding: avoided, keeping: named, seed: seed, using: &generator)
        state.used.formUnion(chosen)
        return chosen
      } catch {
        throw state.membership.shortageOfSpace(policy) ?? error
      }
    }
  }

  /// Returns when the policy has groups. That all disks are full is told at once: waiting does not help.
  func requireGroups(_ policy: PlacementPolicy) async throws {
    do { try await groups.require(policy) } catch {
      throw cluster.withState { $0.membership.shortageOfSpace(policy) } ?? error
    }
  }

  /// The groups that an upload's indices were allocated to.
  func allocatedGroups(of upload: UploadID, in indices: Range<UInt32>) async throws -> [GroupID] {
    try await read { try $0.allocatedGroups(of: upload, in: indices) }
  }
}

extension Membership {
  /// The error to throw where nothing but full disks keeps chunks of the policy from being written.
  func shortageOfSpace(_ policy: PlacementPolicy) -> DFSError? {
    let ready = present.filter { $0.isReachable && $0.record.state == .active && !$0.record.isSuspect }
    let (full, writable) = (ready.count { $0.report?.isFull == true }, ready.count(where: \.isWritable))
    guard full > 0, writable < policy.writeQuorum, writable + full >= policy.writeQuorum else { return nil }
    return DFSError(
      .exhausted,
      """
      the cluster is full: no room is left on \(full) of \(ready.count) datanodes; add datanodes, or remove files \
      with "dfsd rm --now"
      """)
  }
}

extension NamespaceView {
  /// As above, from the pages of 512 indices that the namespace keeps.
  func allocatedGroups(of upload: UploadID, in indices: Range<UInt32>) throws -> [GroupID] {
    guard !indices.isEmpty else { return [] }
    let size = UInt32(Limits.segmentChunks)
    let pages = indices.lowerBound / size...(indices.upperBound - 1) / size
    return try pages.flatMap { page -> ArraySlice<GroupID> in
      let groups = try allocation(upload, page: page)
      let from = Int(max(indices.lowerBound, page * size) - page * size)
      let to = min(groups.count, Int(min(indices.upperBound - page * size, size)))
      return groups[min(from, to)..<to]
    }
  }
}
