import DFSCore
import TestSupport
import Testing

@testable import DFSMetadata

/// What the metadata keeps and answers so that slots become full again.
@Suite struct HealingTests {
  /// Makes slot `place` of group 0 what `slot` says.
  private func set(_ place: Int, _ slot: GroupSlot, in cluster: TestCluster, since: Revision? = nil)
    async throws
  {
    let row = try cluster.group(0)
    var slots = row.slots
    slots[place] = slot
    let change = ChangeGroups.Change(
      id: row.id, expected: row.epoch, policy: row.policy, slots: slots, unlessMissedSince: since)
    try await cluster.namespace.mutate(ChangeGroups(changes: [change]))
  }

  @Test(arguments: Engine.allCases)
  func `a row tells when a member that is not full missed a chunk, at the same epoch`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let filling = GroupSlot(node: NodeID(rawValue: 3), state: .filling)
    try await set(2, filling, in: cluster)
    let seen = cluster.revision
    let before = try cluster.group(0)
    try await cluster.upload("/all", chunks: 2, groups: 1)
    #expect(try cluster.group(0) == before, "it has a receipt for everything: nothing to note")

    let upload = try await cluster.begin("/f", chunks: 2, groups: 1).upload
    _ = try await cluster.commit(upload, cluster.stored(0..<2, holders: [1, 2]))
    let after = try cluster.group(0)
    #expect(after.epoch == before.epoch && after.slots == before.slots)
    #expect(after.missedAt == cluster.revision)
    let full = GroupSlot(node: NodeID(rawValue: 3), state: .full)
    #expect(await code { try await set(2, full, in: cluster, since: seen) } == .stale)
    try await cluster.restart()
    try await set(2, full, in: cluster, since: after.missedAt)
    #expect(try cluster.group(0).slots[2] == full)
    #expect(try cluster.group(0).missedAt == after.missedAt, "a change of slots keeps it")
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a lost chunk makes a full slot behind, and forbids a slot that is not full to become so`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 4, groups: 3)
    let node = NodeID(rawValue: 2)
    let groups = (0..<3).map { GroupID(rawValue: $0) }
    let member = try groups.filter { try cluster.group($0.rawValue).members.contains(node) }
    #expect(member.count == 2, "node 2 is in two of the three")
    let marked = try await cluster.namespace.mutate(MarkBehind(node: node, groups: groups)).outcome.groups
    #expect(marked == member)
    let row = try cluster.group(member[0].rawValue)
    #expect(row.slots.first { $0.node == node }?.state == .behind)
    #expect(row.epoch == GroupEpoch(rawValue: 2) && row.missedAt == cluster.revision)

    let seen = cluster.revision
    try await cluster.namespace.mutate(MarkBehind(node: node, groups: [member[0]]))
    let again = try cluster.group(member[0].rawValue)
    #expect(again.epoch == row.epoch.next && again.missedAt > seen, "what it took before counts no more")
    #expect(await code { try await cluster.namespace.mutate(MarkBehind(node: node, groups: [])) } == .invalidArgument)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a node with bad copies is named until it is full again, though it leaves the group meanwhile`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let (node, group) = (NodeID(rawValue: 3), GroupID(rawValue: 0))
    try await cluster.namespace.mutate(MarkBehind(node: NodeID(rawValue: 2), groups: [group], cause: .lost))
    #expect(try cluster.group(0).doubted.isEmpty, "what is lost is not listed")
    let before = try cluster.group(0)
    try await cluster.namespace.mutate(MarkBehind(node: node, groups: [group], cause: .bad))
    let row = try cluster.group(0)
    #expect(row.doubted == [node] && row.epoch == before.epoch.next && row.countsFrom[node] == row.epoch)
    try await set(2, .vacant, in: cluster)
    try await set(2, GroupSlot(node: node, state: .filling), in: cluster)
    try await cluster.restart()
    #expect(try cluster.group(0).doubted == [node])
    try await set(2, GroupSlot(node: node, state: .full), in: cluster)
    #expect(try cluster.group(0).doubted.isEmpty)
    try await cluster.finish()
  }

  @Test func `a row names a bounded number of nodes with bad copies, its members before others`() {
    var row = PlacementGroup(
      id: GroupID(rawValue: 1), epoch: .zero, policy: PlacementPolicy(replicas: 1), slots: [.vacant])
    for number in 1...40 as ClosedRange<UInt64> {
      row.slots = [GroupSlot(node: NodeID(rawValue: 41 - number), state: .full)]
      row.foundBad(on: NodeID(rawValue: 41 - number), at: .zero)
    }
    #expect(row.doubted.count == Limits.doubtedNodes && row.doubted.contains(NodeID(rawValue: 1)))
    row.slots = [GroupSlot(node: NodeID(rawValue: 99), state: .full)]
    row.foundBad(on: NodeID(rawValue: 99), at: .zero)
    #expect(row.doubted.count == Limits.doubtedNodes && row.doubted.contains(NodeID(rawValue: 99)))
  }

  @Test(arguments: Engine.allCases)
  func `a commit does not count what a member took before it lost chunks, until it is full again`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let upload = try await cluster.begin("/f", chunks: 512, groups: 1).upload
    let seal = SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512, at: 1))
    try await cluster.namespace.mutate(seal)
    for node in [2, 3] as [UInt64] {
      let lost = MarkBehind(node: NodeID(rawValue: node), groups: [GroupID(rawValue: 0)])
      try await cluster.namespace.mutate(lost)
    }
    #expect(await code { try await cluster.commit(upload, [], sealed: 512) } == .stale, "one copy is trusted")
    try await cluster.restart()
    #expect(await code { try await cluster.commit(upload, [], sealed: 512) } == .stale)
    try await set(1, GroupSlot(node: NodeID(rawValue: 2), state: .full), in: cluster, since: cluster.revision)
    guard case .committed(let receipt) = try await cluster.commit(upload, [], sealed: 512) else {
      Issue.record("a member that is full again has every sealed chunk")
      return
    }
    #expect(receipt.replicas == 2 && receipt.zones == 2, "and not the three of the seal")
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a commit does not count what a member had before it left and joined again`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let early = try await cluster.begin("/early", chunks: 512, groups: 1).upload
    let late = try await cluster.begin("/late", chunks: 512, groups: 1).upload
    func seal(_ upload: UploadID, at epoch: GroupEpoch) async throws -> SealSegment.Outcome {
      let chunks = cluster.stored(0..<512, at: epoch.rawValue)
      let seal = SealSegment(upload: upload, segment: 0, chunks: chunks)
      return try await cluster.namespace.mutate(seal).outcome
    }
    _ = try await seal(early, at: cluster.group(0).epoch)
    for place in [1, 2] { try await set(place, .vacant, in: cluster) }
    for place in [1, 2] {
      let node = NodeID(rawValue: UInt64(place + 1))
      try await set(place, GroupSlot(node: node, state: .filling), in: cluster)
    }
    let joined = try cluster.group(0).epoch
    #expect(await code { try await cluster.commit(early, [], sealed: 512) } == .stale)
    let again = (0..<512).map { UInt32($0) }
    #expect(try await seal(late, at: GroupEpoch(rawValue: joined.rawValue - 2)) == .sendAgain(again))
    #expect(try await seal(late, at: joined) == .sealed(segments: 1))
    // Somebody else fails: everything is counted again, and this since the members are what they are.
    try await cluster.namespace.mutate(PutNode(node: cluster.node(4)))
    try await cluster.namespace.mutate(PutNode(node: cluster.node(4, .out)))
    guard case .committed(let receipt) = try await cluster.commit(late, [], sealed: 512) else { return }
    #expect(receipt.replicas == 3)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a receipt from before its node lost chunks is none, though the node is full again`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let group = GroupID(rawValue: 0)
    let upload = try await cluster.begin("/f", chunks: 2, groups: 1).upload
    let other = try await cluster.begin("/g", chunks: 1, groups: 1).upload
    let old = cluster.stored(0..<2, at: 1)
    try await cluster.namespace.mutate(MarkBehind(node: NodeID(rawValue: 2), groups: [group]))
    guard case .committed(let receipt) = try await cluster.commit(other, cluster.stored([0], at: 1)) else {
      Issue.record("two are enough")
      return
    }
    #expect(receipt.replicas == 2)
    try await cluster.namespace.mutate(MarkBehind(node: NodeID(rawValue: 3), groups: [group]))
    #expect(try await cluster.commit(upload, old) == .sendAgain([0, 1]))
    for (place, node) in [(1, UInt64(2)), (2, 3)] {
      try await set(place, GroupSlot(node: NodeID(rawValue: node), state: .full), in: cluster)
    }
    #expect(
      try await cluster.commit(upload, old) == .sendAgain([0, 1]),
      "reconciliation may have found no copy of what only the lost ones had")
    let epoch = try cluster.group(0).epoch.rawValue
    var mixed = old
    for index in mixed.indices { mixed[index].holders[1] = .init(2, at: epoch) }
    guard case .committed = try await cluster.commit(upload, mixed) else {
      Issue.record("a receipt at the epoch of now counts")
      return
    }
    let states = try cluster.group(0).slots.map(\.state)
    #expect(states == [.full, .full, .behind], "node 3 has no receipt that counts")
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `members that lack a chunk which they never had keep their receipts, sealed and unsealed`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let sealed = try await cluster.begin("/sealed", chunks: 512, groups: 1).upload
    let open = try await cluster.begin("/open", chunks: 2, groups: 1).upload
    let seal = SealSegment(upload: sealed, segment: 0, chunks: cluster.stored(0..<512, at: 1))
    try await cluster.namespace.mutate(seal)
    let before = try cluster.group(0)
    for node in 1...3 {
      let mark = MarkBehind(
        node: NodeID(rawValue: UInt64(node)), groups: [GroupID(rawValue: 0)], cause: .lacks)
      #expect(try await cluster.namespace.mutate(mark).outcome.groups == [before.id])
    }
    let row = try cluster.group(0)
    #expect(row.slots.allSatisfy { $0.state == .behind } && row.missedAt == cluster.revision)
    #expect(row.epoch > before.epoch && row.countsFrom == before.countsFrom)
    let full = GroupSlot(node: NodeID(rawValue: 1), state: .full)
    #expect(await code { try await set(0, full, in: cluster, since: before.missedAt) } == .stale)
    // Another node fails, so that the segment is counted again.
    try await cluster.namespace.mutate(PutNode(node: cluster.node(4)))
    try await cluster.namespace.mutate(PutNode(node: cluster.node(4, .out)))
    for (upload, chunks, count) in [(sealed, [], 512), (open, cluster.stored(0..<2, at: 1), 0)] {
      guard case .committed(let receipt) = try await cluster.commit(upload, chunks, sealed: count) else {
        Issue.record("it wants chunks again")
        continue
      }
      #expect(receipt.replicas == 3)
    }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a commit beside a hand-over of one of two copies is told to wait, and succeeds as it is afterwards`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1, replicas: 2)
    let begin = BeginUpload(
      target: cluster.path("/f"), attributes: cluster.attributes, chunkSize: smallChunks,
      policy: PlacementPolicy(replicas: 2), groups: Array(repeating: GroupID(rawValue: 0), count: 512))
    let upload = try await cluster.namespace.mutate(begin).outcome.upload
    let chunks = cluster.stored(0..<512, holders: [1, 2], at: 1)
    try await cluster.namespace.mutate(SealSegment(upload: upload, segment: 0, chunks: chunks))
    try await set(1, GroupSlot(node: NodeID(rawValue: 3), state: .filling), in: cluster)
    let id = RequestID(seen: cluster.revision, high: 1, low: 2)
    for _ in 0..<2 {
      let error = await #expect(throws: DFSError.self) {
        try await cluster.commit(upload, [], sealed: 512, id: id)
      }
      #expect(error?.isTooFewCopies == true && error?.metadata["segment"] == "0")
    }
    try await set(1, GroupSlot(node: NodeID(rawValue: 3), state: .full), in: cluster, since: cluster.revision)
    guard case .committed(let receipt) = try await cluster.commit(upload, [], sealed: 512, id: id) else {
      Issue.record("the heir has every sealed chunk")
      return
    }
    #expect(receipt.replicas == 2)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `two short failures in one segment are no lost copies`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 4, groups: 1)
    let upload = try await cluster.begin("/f", chunks: 512, groups: 1).upload
    let chunks = cluster.stored(0..<512).map { chunk in
      var chunk = chunk
      chunk.holders = [1, chunk.index < 100 ? 2 : 3].map { .init($0) }
      return chunk
    }
    try await cluster.namespace.mutate(SealSegment(upload: upload, segment: 0, chunks: chunks))
    #expect(try cluster.group(0).slots.map(\.state) == [.full, .behind, .behind])
    // A node that held nothing fails: everybody is counted again.
    try await cluster.namespace.mutate(PutNode(node: cluster.node(4, .out)))
    let other = try await cluster.begin("/g", chunks: 512, groups: 1).upload
    try await cluster.namespace.mutate(SealSegment(upload: other, segment: 0, chunks: chunks))
    guard case .committed = try await cluster.commit(upload, [], sealed: 512) else {
      Issue.record("the commit wants chunks again")
      return
    }
    // One that held some of it does count no more.
    try await cluster.namespace.mutate(PutNode(node: cluster.node(3, .out)))
    #expect(await code { try await cluster.commit(other, [], sealed: 512) } == .stale)
    try await cluster.finish()
  }

  @Test func `holders of a segment answer as the chunks one by one do`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let nodes = (1...5).map { NodeID(rawValue: $0) }
    for _ in 0..<500 {
      let chunks = (0..<Int.random(in: 1...40, using: &random)).map { _ in
        Set(nodes.filter { _ in Bool.random(using: &random) })
      }
      let holders = GroupHolders(group: GroupID(rawValue: 1), epoch: .zero, sets: Set(chunks))
      #expect(holders.sets.count <= 10)
      for _ in 0..<10 {
        let counting = Set(nodes.filter { _ in Bool.random(using: &random) })
        let also = Set(nodes.filter { _ in Int.random(in: 0..<4, using: &random) == 0 })
        let expected = chunks.map { $0.union(also).intersection(counting).count }.min()
        #expect(holders.fewestCopies(also: also, counting: counting.contains) == expected, "seed \(random.seed)")
      }
    }
  }

  @Test(arguments: Engine.allCases)
  func `a chunk's reference is found wherever its file has it`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 4)
    let small = try await cluster.upload("/small", chunks: 3)
    // A large one, whose chunks were sealed in another order than they were allocated.
    let upload = try await cluster.begin("/large", chunks: 512).upload
    let more = (0..<512).map { GroupID(rawValue: UInt32($0 % 4)) }
    for _ in 0..<2 { try await cluster.namespace.mutate(AllocateChunks(upload: upload, groups: more)) }
    let first = Array(400..<912).map { UInt32($0) }
    let second = Array(0..<400).map { UInt32($0) }
    for (segment, indices) in [first, second].enumerated() {
      let seal = SealSegment(upload: upload, segment: UInt32(segment), chunks: cluster.stored(indices))
      try await cluster.namespace.mutate(seal)
    }
    let view = try cluster.namespace.view()
    #expect(try view.isOpenUpload(upload) && !view.isOpenUpload(small))
    func check(_ view: NamespaceView) throws {
      let asked =
        (0..<3).map { ChunkID(inode: small, index: $0) }
        + [0, 399, 400, 511, 512, 911].map { ChunkID(inode: upload, index: $0) }
      let found = try view.references(of: asked)
      #expect(Set(found.keys) == Set(asked))
      for (chunk, reference) in found {
        #expect(reference.index == chunk.index && reference.group.rawValue == chunk.index % 4)
        #expect(reference.root == digest(UInt8(truncatingIfNeeded: chunk.index)))
      }
      let absent = [ChunkID(inode: small, index: 3), ChunkID(inode: upload, index: 912)]
      #expect(try view.references(of: absent + [ChunkID(inode: InodeID(rawValue: 999), index: 0)]).isEmpty)
    }
    try check(view)
    _ = try await cluster.commit(upload, [], sealed: 912)
    try check(try cluster.namespace.view())
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `what is condemned as a whole is told from a version with leftovers`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let upload = try await cluster.begin("/kept", chunks: 5).upload
    _ = try await cluster.commit(upload, cluster.stored(0..<3))
    let given = try await cluster.begin("/never", chunks: 5).upload
    try await cluster.namespace.mutate(AbortUpload(upload: given, cause: .client))
    let open = try await cluster.begin("/open", chunks: 5).upload
    let condemned = try cluster.namespace.view().condemned(among: [upload, given, open])
    #expect(condemned == [given])
    try await cluster.finish()
  }

  @Test func `rows and pages of earlier versions are read`() throws {
    var writer = RecordWriter()
    writer.byte(1)
    writer.number(UInt64(9))
    writer.policy(PlacementPolicy(replicas: 2))
    writer.slots([GroupSlot(node: NodeID(rawValue: 5), state: .behind), .vacant])
    let group = try GroupRecord(stored: writer.bytes).group(GroupID(rawValue: 1))
    #expect(group.epoch == GroupEpoch(rawValue: 9) && group.missedAt == .zero)

    writer = RecordWriter()
    writer.byte(1)
    writer.groups([GroupID(rawValue: 1)])
    writer.byte(1)
    writer.number(UInt(1))
    writer.group(GroupID(rawValue: 1))
    writer.number(UInt(2))
    for node in [4, 5] { writer.node(NodeID(rawValue: UInt64(node))) }
    let page = try AllocationPage(stored: writer.bytes)
    #expect(page.holders.map { $0.fewestCopies { $0.rawValue > 3 } } == [2])
    #expect(page.holders.map(\.epoch) == [.zero] && group.countsFrom.isEmpty)

    writer = RecordWriter()
    writer.byte(2)
    writer.number(UInt64(9))
    writer.policy(PlacementPolicy(replicas: 1))
    writer.slots([GroupSlot(node: NodeID(rawValue: 5), state: .full)])
    writer.revision(Revision(rawValue: 4))
    let second = try GroupRecord(stored: writer.bytes).group(GroupID(rawValue: 1))
    #expect(second.missedAt == Revision(rawValue: 4) && second.counts(NodeID(rawValue: 5), at: .zero))

    writer = RecordWriter()
    writer.byte(3)
    writer.number(UInt64(9))
    writer.policy(PlacementPolicy(replicas: 1))
    writer.slots([GroupSlot(node: NodeID(rawValue: 5), state: .full)])
    writer.revision(Revision(rawValue: 4))
    writer.number(UInt64(8))
    let third = try GroupRecord(stored: writer.bytes).group(GroupID(rawValue: 1))
    #expect(third.countsFrom == [NodeID(rawValue: 5): GroupEpoch(rawValue: 8)] && third.doubted.isEmpty)
  }
}
