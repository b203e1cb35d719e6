import DFSCore
import Testing

@testable import DFSMetadata

/// Each operation's stored outcome is its outcome.
@Suite struct ReplayTests {
  /// Executes `mutation` twice under one id, and once more after a restart.
  private func check<M: Mutation>(
    _ mutation: M, on cluster: TestCluster, _ number: UInt64
  ) async throws -> M.Outcome where M.Outcome: Equatable {
    let id = RequestID(seen: cluster.revision, high: 8, low: number)
    let first = try await cluster.namespace.mutate(mutation, id: id)
    let revision = cluster.revision
    let again = try await cluster.namespace.mutate(mutation, id: id)
    try await cluster.restart()
    let later = try await cluster.namespace.mutate(mutation, id: id)
    for replay in [again, later] {
      #expect(
        replay.isReplay && replay.outcome == first.outcome && replay.revision == first.revision, "\(M.kind)")
    }
    #expect(!first.isReplay && cluster.revision == revision, "\(M.kind)")
    return first.outcome
  }

  @Test(arguments: Engine.allCases)
  func `every operation answers a replay as it answered first, and changes nothing`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine) {
      $0.reapGrace = .zero
      $0.trashRetention = .seconds(60)
    }
    let namespace = { cluster.namespace }
    func path(_ text: String) -> RemotePath { cluster.path(text) }
    #expect(try await check(PutNode(node: cluster.node(1)), on: cluster, 1).isNew)
    #expect(try await !check(PutNode(node: cluster.node(1, .draining)), on: cluster, 2).isNew)
    let one = PlacementPolicy(replicas: 1)
    let slots = [GroupSlot(node: NodeID(rawValue: 1), state: .full)]
    let groups = (0..<2).map { number in
      ChangeGroups.Change(id: GroupID(rawValue: UInt32(number)), expected: nil, policy: one, slots: slots)
    }
    #expect(try await check(ChangeGroups(changes: groups), on: cluster, 3).epochs.count == 2)
    let mkdir = MakeDirectory(path: path("/d/e"), parents: .make, attributes: cluster.attributes, policy: one)
    #expect(try await check(mkdir, on: cluster, 4).made == 2)
    let put = PutInline(target: path("/d/f"), attributes: cluster.attributes, bytes: [1, 2], root: digest(1))
    #expect(try await check(put, on: cluster, 5).replaced == nil)
    #expect(try await check(put, on: cluster, 6).replaced != nil)
    let set = SetAttributes(
      path: path("/d/f"), mode: 0o600, modified: FileTime(rawValue: 9), owner: "o",
      user: ["a": [1], "b": nil])
    _ = try await check(set, on: cluster, 7)
    _ = try await check(SetAttributes(path: path("/d"), policy: PlacementPolicy(replicas: 2)), on: cluster, 8)
    let rename = Rename(source: path("/d/f"), target: path("/d/g"), existing: .refuse)
    #expect(try await check(rename, on: cluster, 9).kind == .file)

    let begin = BeginUpload(
      target: path("/d/e/h"), attributes: cluster.attributes, precondition: .ifAbsent, chunkSize: smallChunks,
      groups: Array(repeating: GroupID(rawValue: 0), count: 500))
    let upload = try await check(begin, on: cluster, 10).upload
    let allocate = AllocateChunks(upload: upload, groups: Array(repeating: GroupID(rawValue: 1), count: 20))
    #expect(try await check(allocate, on: cluster, 11).indices == 500..<520)
    let seal = SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512, holders: [1]))
    #expect(try await check(seal, on: cluster, 12) == .sealed(segments: 1))
    let commit = CommitUpload(
      upload: upload, final: cluster.stored([513], holders: [1], last: 7), chunkCount: 513,
      length: ByteCount(512 * smallChunks.bytes + 7), root: digest(2), attributes: cluster.attributes)
    guard case .committed(let receipt) = try await check(commit, on: cluster, 13) else { return }
    #expect(receipt.replicas == 1)
    let other = try await namespace().mutate(
      BeginUpload(
        target: path("/d/e/i"), attributes: cluster.attributes, chunkSize: smallChunks,
        groups: [GroupID(rawValue: 0)])
    ).outcome.upload
    #expect(try await check(AbortUpload(upload: other, cause: .client), on: cluster, 14).isAborted)
    let remove = Remove(path: path("/d/g"), scope: .fileOrEmptyDirectory)
    let removed = try #require(try await check(remove, on: cluster, 15).deletion)
    let undelete = Undelete(deletion: removed, target: path("/d/back"))
    #expect(try await check(undelete, on: cluster, 16).path == path("/d/back"))
    let tree = Remove(path: path("/d"), scope: .tree)
    let deletion = try #require(try await check(tree, on: cluster, 17).deletion)
    #expect(try await check(PurgeTrash(deletion: deletion), on: cluster, 18).isPurged)
    let now = Remove(path: path("/top"), scope: .tree, disposal: .now)
    try await cluster.mkdir("/top")
    #expect(try await check(now, on: cluster, 19).deletion == nil)
    cluster.clock.advance(by: .seconds(100))
    let page = try #require(try namespace().nextCondemned())
    _ = try await check(Reap(page: page), on: cluster, 20)
    try await cluster.finish()
  }
}
