import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// What a client learns of a group with an answer.
struct GroupSight {
  var row: PlacementGroup
  /// Members that the coordinator calls reachable, with their machines.
  var members: [(node: NodeID, machine: Int)]
}

/// What `BeginUpload` and `AllocateChunks` answer.
struct Allocation {
  var upload: UploadID
  var slots: [(index: UInt32, group: GroupSight)]
}

// The calls of clients. Each is the operation of the same name, without its wire.
extension CoordinatorProcess {
  func sight(_ group: GroupID) throws -> GroupSight {
    let (row, members) = cluster.withState { state -> (PlacementGroup?, [Member]) in
      let row = state.table[group]
      return (row, (row?.members ?? []).compactMap { state.membership[$0] })
    }
    guard let row else { throw DFSError(.notFound, "there is no group \(group)") }
    return GroupSight(
      row: row,
      members: members.filter(\.isReachable).compactMap { member in
        Machine.number(of: member.record.endpoints.first).map { (member.id, $0) }
      })
  }

  func choose(
    _ count: Int, _ policy: PlacementPolicy, avoiding avoided: Set<GroupID> = [], seed: UInt64
  ) throws -> [GroupID] {
    if cluster.withState({ $0.table.groups(replicas: policy.replicas).isEmpty }) { try plan(policy) }
    let now = world.instant
    var generator = world.random
    defer { world.random = generator }
    return try cluster.withState { state in
      let chosen = try state.allocator(for: policy, now: now)
        .choose(count, avoiding: avoided, seed: seed, using: &generator)
      state.used.formUnion(chosen)
      return chosen
    }
  }

  func beginUpload(_ path: RemotePath, chunks: Int, id: RequestID) throws -> Allocation {
    let policy = try namespace.view().target(path).policy
    let groups = try choose(chunks, policy, seed: id.low)
    let settled = try mutate(
      BeginUpload(
        target: path, attributes: Self.attributes, chunkSize: Self.chunkSize, policy: nil, groups: groups),
      id: id)
    let upload = settled.outcome.upload
    return try allocation(of: upload, 0..<settled.outcome.allocated)
  }

  func allocate(_ count: Int, to upload: UploadID, avoiding: Set<GroupID>, id: RequestID) throws -> Allocation
  {
    let policy = try namespace.view().upload(upload).policy
    let groups = try choose(count, policy, avoiding: avoiding, seed: upload.rawValue)
    let settled = try mutate(AllocateChunks(upload: upload, groups: groups), id: id)
    return try allocation(of: upload, settled.outcome.indices)
  }

  private func allocation(of upload: UploadID, _ indices: Range<UInt32>) throws -> Allocation {
    let groups = try namespace.view().allocatedGroups(of: upload, in: indices)
    return Allocation(
      upload: upload, slots: try zip(indices, groups).map { ($0, try sight($1)) })
  }

  func renew(_ upload: UploadID) throws { _ = try namespace.renewUpload(upload) }

  func abort(_ upload: UploadID, id: RequestID) throws {
    _ = try mutate(AbortUpload(upload: upload, cause: .client), id: id)
  }

  func seal(
    _ chunks: [ReceivedChunk], segment: Int, of upload: UploadID, id: RequestID
  ) throws -> [UInt32] {
    let stored = verify(chunks, of: upload)
    let settled = try mutate(SealSegment(upload: upload, segment: UInt32(segment), chunks: stored), id: id)
    try learnChanges(chunks)
    if case .sendAgain(let indices) = settled.outcome { return indices }
    if !settled.isReplay { tellCounted(chunks, stored, of: upload) }
    return []
  }

  func commit(
    _ chunks: [ReceivedChunk], of upload: UploadID, sealed: Int, length: ByteCount, id: RequestID
  ) throws -> CommitUpload.Outcome {
    let stored = verify(chunks, of: upload)
    let count = sealed + chunks.count
    let settled = try mutate(
      CommitUpload(
        upload: upload, final: stored, chunkCount: UInt64(count),
        length: length, root: Self.fileRoot), id: id)
    try learnChanges(chunks)
    if case .committed = settled.outcome, !settled.isReplay { tellCounted(chunks, stored, of: upload) }
    return settled.outcome
  }

  /// As `CoordinatorService.verify`: for an upload that is gone nobody holds anything.
  private func verify(_ chunks: [ReceivedChunk], of upload: UploadID) -> [StoredChunk] {
    let isOpen = (try? namespace.view().upload(upload)) != nil
    var verifier = ReceiptVerifier(
      upload: upload, members: isOpen ? cluster.withState { $0.membership.members } : [:])
    return chunks.map { verifier.verify($0) }
  }

  private func learnChanges(_ chunks: [ReceivedChunk]) throws {
    learn(try namespace.view().groups(Set(chunks.map(\.reference.group)).sorted()))
  }

  private func tellCounted(_ chunks: [ReceivedChunk], _ stored: [StoredChunk], of upload: UploadID) {
    world.tell(
      .chunksCounted(
        zip(chunks, stored).map { chunk, stored in
          CountedChunk(
            chunk: ChunkID(inode: upload, index: stored.index), group: chunk.reference.group,
            holders: stored.holders)
        }))
  }

  func lookup(_ path: RemotePath) throws -> (inode: InodeID, page: ManifestPage?) {
    let found = try namespace.view().lookup(path)
    guard case .chunks(let page) = found.contents else { return (found.status.inode, nil) }
    return (found.status.inode, page)
  }

  /// Gives the length of the pin.
  func pin(_ inode: InodeID) throws -> Span {
    try namespace.pin(inode)
    return Span(configuration.namespace.pinDuration)
  }

  static let attributes = FileAttributes(mode: 0o644, modified: FileTime(rawValue: 1))
  static let chunkSize = ChunkSize(bytes: ChunkSize.smallest) ?? .standard
  static let fileRoot = digest(of: 9)
}

/// A digest that is as good as any other.
func digest(of number: UInt64) -> Digest {
  var bytes = [UInt8](repeating: 0, count: Digest.byteCount)
  for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(index))) }
  guard let digest = Digest(bytes) else { preconditionFailure("a digest has 32 bytes") }
  return digest
}
