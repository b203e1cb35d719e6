import DFSCore
import Testing

@testable import DFSMetadata

@Suite struct UploadTests {
  @Test(arguments: Engine.allCases)
  func `a small file seals and commits in one call and its manifest comes with the lookup`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let begun = try await cluster.begin("/f", chunks: 3)
    #expect(begun.allocated == 3 && begun.parent == .root)
    #expect(await code { try cluster.stat("/f") } == .notFound)
    guard
      case .committed(let receipt) = try await cluster.commit(begun.upload, cluster.stored(0..<3, last: 5))
    else {
      Issue.record("the commit wants chunks again")
      return
    }
    #expect(receipt.replicas == 3 && receipt.zones == 3 && receipt.inode == begun.upload)
    let lookup = try cluster.namespace.view().lookup(cluster.path("/f"))
    guard case .chunks(let page) = lookup.contents else {
      Issue.record("no manifest page")
      return
    }
    #expect(page.chunks.map(\.index) == [0, 1, 2] && page.nextPage == nil)
    #expect(page.chunks.map(\.group.rawValue) == [0, 1, 2] && lookup.groups.count == 3)
    #expect(lookup.status.size == ByteCount(2 * smallChunks.bytes + 5) && lookup.status.chunkCount == 3)
    #expect(try cluster.count("u") == 0 && cluster.count("k") == 3 && cluster.count("x") == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an empty file can be uploaded, too`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    let begun = try await cluster.begin("/f", chunks: 0)
    guard case .committed(let receipt) = try await cluster.commit(begun.upload, []) else { return }
    #expect(receipt.replicas == 0)
    #expect(try cluster.stat("/f").size == .zero)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `segments are sealed in order, again with the same answer, never with other chunks`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let upload = try await cluster.begin("/f", chunks: 512).upload
    let more = AllocateChunks(upload: upload, groups: Array(repeating: GroupID(rawValue: 1), count: 100))
    #expect(try await cluster.namespace.mutate(more).outcome.indices == 512..<612)

    func seal(_ segment: UInt32, _ chunks: [StoredChunk]) async throws -> SealSegment.Outcome {
      try await cluster.namespace.mutate(SealSegment(upload: upload, segment: segment, chunks: chunks))
        .outcome
    }
    let first = cluster.stored(0..<512)
    #expect(await code { try await seal(1, first) } == .failedPrecondition)
    #expect(try await seal(0, first) == .sealed(segments: 1))
    #expect(try await seal(0, first) == .sealed(segments: 1))
    #expect(await code { try await seal(0, cluster.stored(1..<513)) } == .invalidArgument)
    #expect(await code { try await seal(1, cluster.stored([5])) } == .invalidArgument)
    #expect(await code { try await seal(1, cluster.stored([520, 520])) } == .invalidArgument)
    #expect(await code { try await seal(1, cluster.stored([612])) } == .invalidArgument)
    #expect(await code { try await seal(1, []) } == .invalidArgument)
    #expect(await code { try await seal(1, cluster.stored([520], last: 0)) } == .invalidArgument)
    #expect(await code { try await seal(1, cluster.stored([520], last: 65537)) } == .invalidArgument)
    var short = cluster.stored(512..<612)
    short[3].length = 5
    #expect(await code { try await seal(1, short) } == .invalidArgument)

    let open = try cluster.namespace.view().upload(upload)
    #expect(open.sealedSegments == 1 && open.sealedChunks == 512 && open.allocated == 612)
    #expect(try cluster.namespace.view().sealedSegment(upload, 0).map(\.index) == Array(0..<512))
    #expect(try cluster.namespace.view().allocation(upload, page: 1).count == 100)

    #expect(try await seal(1, cluster.stored(512..<612, last: 5)) == .sealed(segments: 2))
    #expect(await code { try await seal(2, cluster.stored([3])) } == .invalidArgument)
    let wrong = CommitUpload(
      upload: upload, final: [], chunkCount: 612, length: ByteCount(1), root: digest(9))
    #expect(await code { try await cluster.namespace.mutate(wrong) } == .invalidArgument)
    let length = ByteCount(611 * smallChunks.bytes + 5)
    let right = CommitUpload(upload: upload, final: [], chunkCount: 612, length: length, root: digest(9))
    guard case .committed = try await cluster.namespace.mutate(right).outcome else { return }
    let page = try cluster.namespace.view().manifest(upload, page: 1)
    #expect(page.firstChunk == 512 && page.chunks.count == 100 && page.nextPage == nil)
    try await cluster.reapAfterGrace()
    #expect(try cluster.count("u") == 0 && cluster.count("c") == 2 && cluster.count("k") == 612)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `only receipts of current members that have not failed count, and those that miss one fall behind`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 4, groups: 1)
    let members = try cluster.group(0).members.map(\.rawValue)
    let outsider = try #require((1...4).first { !members.contains($0) })
    let upload = try await cluster.begin("/f", chunks: 3, groups: 1).upload

    let few =
      cluster.stored([0], holders: [members[0]]) + cluster.stored([1], holders: [members[0], outsider])
      + cluster.stored([2], holders: members)
    #expect(try await cluster.commit(upload, few) == .sendAgain([0, 1]))
    #expect(try cluster.group(0).slots.allSatisfy { $0.state == .full })

    try await cluster.namespace.mutate(PutNode(node: cluster.node(members[1], .out)))
    let failed = cluster.stored([0, 1, 2], holders: [members[0], members[1]])
    #expect(try await cluster.commit(upload, failed) == .sendAgain([0, 1, 2]))
    try await cluster.namespace.mutate(PutNode(node: cluster.node(members[1])))

    let before = try cluster.group(0).epoch
    let enough =
      cluster.stored([0, 1], holders: members) + cluster.stored([2], holders: [members[0], members[2]])
    guard case .committed(let receipt) = try await cluster.commit(upload, enough) else {
      Issue.record("two of three are enough")
      return
    }
    #expect(receipt.replicas == 2 && receipt.zones == 2)
    let group = try cluster.group(0)
    #expect(group.epoch == before.next)
    #expect(group.slots.map(\.state) == [.full, .behind, .full])
    try await cluster.finish()
  }

  @Test(arguments: [1, 2, 3])
  func `W is the majority of the policy's replicas`(replicas: UInt8) async throws {
    let cluster = try TestCluster(.memoryLedger) { $0.defaultPolicy = PlacementPolicy(replicas: replicas) }
    try await cluster.form(nodes: 3, groups: 1, replicas: replicas)
    let members = try cluster.group(0).members.map(\.rawValue)
    let quorum = Int(replicas) / 2 + 1
    let upload = try await cluster.begin("/f", chunks: 1, groups: 1).upload
    let few = Array(members.prefix(quorum - 1))
    #expect(try await cluster.commit(upload, cluster.stored([0], holders: few)) == .sendAgain([0]))
    let enough = Array(members.prefix(quorum))
    guard
      case .committed(let receipt) = try await cluster.commit(upload, cluster.stored([0], holders: enough))
    else {
      Issue.record("\(quorum) of \(replicas) are enough")
      return
    }
    #expect(Int(receipt.replicas) == quorum)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a commit beside a membership change counts the holders of sealed segments again`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(nodes: 6, groups: 1)
    let group = try cluster.group(0)
    let members = group.members.map(\.rawValue)
    let upload = try await cluster.begin("/f", chunks: 512, groups: 1).upload
    let seal = SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512, holders: members))
    try await cluster.namespace.mutate(seal)

    func replace(_ count: Int, _ state: SlotState) async throws {
      let now = try cluster.group(0)
      let newcomers = (1...6).map { UInt64($0) }.filter { !members.contains($0) }
      var slots = group.slots
      for index in 0..<count {
        slots[index] = GroupSlot(node: NodeID(rawValue: newcomers[index]), state: state)
      }
      let change = ChangeGroups.Change(id: now.id, expected: now.epoch, policy: now.policy, slots: slots)
      try await cluster.namespace.mutate(ChangeGroups(changes: [change]))
    }
    try await replace(2, .filling)
    #expect(await code { try await cluster.commit(upload, [], sealed: 512) } == .stale)
    // A newcomer that is full has every living chunk, those of open uploads among them.
    try await replace(2, .full)
    try await cluster.namespace.mutate(PutNode(node: cluster.node(members[2], .out)))
    guard case .committed = try await cluster.commit(upload, [], sealed: 512) else { return }
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `what was allocated and not used is condemned with the commit, and nothing else`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let upload = try await cluster.begin("/f", chunks: 8).upload
    guard case .committed = try await cluster.commit(upload, cluster.stored([0, 2, 5])) else { return }
    #expect(try cluster.namespace.nextCondemned() == nil)
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks.map(\.chunk.index) == [1, 3, 4, 6, 7])
    #expect(reaped.chunks.allSatisfy { $0.group.rawValue == $0.chunk.index % 4 })
    #expect(try cluster.count("u") == 0 && cluster.count("x") == 0)
    #expect(try cluster.stat("/f").chunkCount == 3)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `an aborted upload is condemned with all that was allocated to it`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let upload = try await cluster.begin("/f", chunks: 512).upload
    try await cluster.namespace.mutate(
      AllocateChunks(upload: upload, groups: Array(repeating: GroupID(rawValue: 0), count: 10)))
    try await cluster.namespace.mutate(
      SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512)))
    #expect(try await cluster.namespace.mutate(AbortUpload(upload: upload, cause: .client)).outcome.isAborted)
    #expect(
      try await !cluster.namespace.mutate(AbortUpload(upload: upload, cause: .client)).outcome.isAborted)
    #expect(await code { try await cluster.commit(upload, [], sealed: 512) } == .notFound)
    #expect(await code { try cluster.namespace.renewUpload(upload) } == .notFound)
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks.count == 522 && reaped.steps == 2)
    for letter in ["u", "c", "k", "x"] { #expect(try cluster.count(Character(letter)) == 0) }
    let other = try await cluster.upload("/g", chunks: 1)
    #expect(
      await code { try await cluster.namespace.mutate(AbortUpload(upload: other, cause: .client)) }
        == .failedPrecondition)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a lease that is not renewed expires exactly once, and a restart renews every lease`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let kept = try await cluster.begin("/kept", chunks: 1).upload
    let lost = try await cluster.begin("/lost", chunks: 1).upload
    cluster.clock.advance(by: .seconds(100))
    #expect(try cluster.namespace.renewUpload(kept) == .seconds(120))
    cluster.clock.advance(by: .seconds(30))
    #expect(cluster.namespace.expiredUploads(limit: 10) == [lost])
    #expect(try await !cluster.namespace.mutate(AbortUpload(upload: kept, cause: .expired)).outcome.isAborted)
    try await cluster.restart()
    #expect(cluster.namespace.expiredUploads(limit: 10).isEmpty)
    #expect(try await !cluster.namespace.mutate(AbortUpload(upload: lost, cause: .expired)).outcome.isAborted)
    cluster.clock.advance(by: .seconds(120))
    #expect(Set(cluster.namespace.expiredUploads(limit: 10)) == [lost, kept])
    #expect(try await cluster.namespace.mutate(AbortUpload(upload: lost, cause: .expired)).outcome.isAborted)
    #expect(cluster.namespace.expiredUploads(limit: 10) == [kept])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a commit into a directory that was just removed is refused, into one that moved it follows`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    try await cluster.mkdir("/a/b", .make)
    try await cluster.mkdir("/empty")
    try await cluster.mkdir("/old")
    try await cluster.put("/a/b/other")
    let inTree = try await cluster.begin("/a/b/f", chunks: 1).upload
    let inEmpty = try await cluster.begin("/empty/f", chunks: 1).upload
    let inMoved = try await cluster.begin("/old/f", chunks: 1).upload
    try await cluster.remove("/a", .tree)
    try await cluster.remove("/empty")
    try await cluster.rename("/old", "/new")
    #expect(await code { try await cluster.commit(inTree, cluster.stored([0])) } == .notFound)
    #expect(await code { try await cluster.commit(inEmpty, cluster.stored([0])) } == .notFound)
    guard case .committed = try await cluster.commit(inMoved, cluster.stored([0])) else { return }
    #expect(try cluster.stat("/new/f").inode == inMoved)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `two uploads of one name give one of the two versions, whole`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form()
    let one = try await cluster.begin("/f", chunks: 1, .ifAbsent).upload
    let two = try await cluster.begin("/f", chunks: 2).upload
    guard case .committed(let second) = try await cluster.commit(two, cluster.stored([0, 1])) else { return }
    #expect(await code { try await cluster.commit(one, cluster.stored([0])) } == .alreadyExists)
    #expect(try cluster.stat("/f").inode == second.inode)
    // The refused upload is still open and can be aborted.
    #expect(try await cluster.namespace.mutate(AbortUpload(upload: one, cause: .client)).outcome.isAborted)
    #expect(await code { try await cluster.begin("/f", chunks: 1, .ifAbsent) } == .alreadyExists)
    try await cluster.finish()
  }

  @Test func `allocation checks its groups and its bounds`() async throws {
    let cluster = try TestCluster(.memoryLedger) { $0.openUploads = 2 }
    try await cluster.form(groups: 100)
    #expect(await code { try await cluster.begin("/f", chunks: 200, groups: 200) } == .notFound)
    #expect(await code { try await cluster.begin("/f", chunks: 513) } == .invalidArgument)
    let other = BeginUpload(
      target: cluster.path("/f"), attributes: cluster.attributes, chunkSize: smallChunks,
      policy: PlacementPolicy(replicas: 2), groups: [GroupID(rawValue: 0)])
    #expect(await code { try await cluster.namespace.mutate(other) } == .failedPrecondition)
    _ = try await cluster.begin("/f", chunks: 1)
    // Chunks of more groups than one seal may mark are sent again.
    let wide = try await cluster.begin("/g", chunks: 100, groups: 100).upload
    #expect(await code { try await cluster.begin("/h", chunks: 1) } == .exhausted)
    #expect(
      try await cluster.commit(wide, cluster.stored(0..<100, holders: [1, 2]))
        == .sendAgain([96, 97, 98, 99]))
    try await cluster.finish()
  }

  @Test func `a batch that marks every group of a seal fits etcd's limits`() async throws {
    let cluster = try TestCluster(.memoryLedger)
    try await cluster.form(groups: 96)
    let upload = try await cluster.begin("/f", chunks: 512, groups: 96).upload
    let seal = SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512, holders: [1, 2]))
    let id = RequestID(seen: cluster.revision, high: 1, low: 1)
    #expect(try await cluster.namespace.mutate(seal, id: id).outcome == .sealed(segments: 1))
    #expect(try (0..<96).allSatisfy { try cluster.group($0).slots.contains { $0.state == .behind } })
    try await cluster.finish()
  }
}

extension TestCluster {
  @discardableResult
  func reapAfterGrace() async throws -> (chunks: [CondemnedChunk], steps: Int) {
    clock.advance(by: configuration.reapGrace + .seconds(1))
    return try await reapAll()
  }
}
