import DFSCore
import DFSKeyValue
import TestSupport
import Testing

@testable import DFSMetadata

@Suite struct OrphanTests {
  @Test(arguments: Engine.allCases)
  func `a chunk goes from uploading over named and condemned to dead, and an orphan goes with its holders`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let upload = try await cluster.begin("/f", chunks: 4, groups: 1).upload
    let chunks = (0..<600 as Range<UInt32>).map { ChunkID(inode: upload, index: $0) }
    #expect(Set(try cluster.liveness(chunks)) == [.uploading], "an open upload keeps every index")
    guard case .committed = try await cluster.commit(upload, cluster.stored([1, 2])) else { return }
    #expect(try cluster.liveness(Array(chunks.prefix(4))) == [.condemned, .named, .named, .condemned])
    #expect(try cluster.liveness([chunks[512]]) == [.dead])
    try await cluster.remove("/f")
    #expect(try cluster.liveness(Array(chunks.prefix(4))) == Array(repeating: .condemned, count: 4))
    #expect(try cluster.namespace.view().condemned(among: [upload]) == [upload])
    try await cluster.reapAfterGrace()
    #expect(try cluster.liveness(Array(chunks.prefix(4))) == Array(repeating: .dead, count: 4))
    #expect(try cluster.namespace.view().condemned(among: [upload]).isEmpty)

    let dead = Array(chunks.prefix(4))
    #expect(try await cluster.condemn(dead, holders: [9, 2]) == 4)
    #expect(Set(try cluster.liveness(dead)) == [.condemned] && cluster.namespace.counts.condemned == 1)
    #expect(try cluster.namespace.nextCondemned() == nil, "not before the grace is over")
    cluster.clock.advance(by: .seconds(121))
    let page = try #require(try cluster.namespace.nextCondemned())
    #expect(page.kind == .orphans && page.holders == [2, 9].map { NodeID(rawValue: $0) })
    #expect(page.chunks == dead.map { CondemnedChunk(group: GroupID(rawValue: 0), chunk: $0) })
    #expect(try await cluster.namespace.mutate(Reap(page: page)).outcome.isFinished)
    #expect(Set(try cluster.liveness(dead)) == [.dead] && cluster.namespace.counts.condemned == 0)
    #expect(try cluster.count("y") == 0 && cluster.count("x") == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a round condemns only what is dead in it, and refuses lists without bounds`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let open = try await cluster.begin("/open", chunks: 2, groups: 1).upload
    let file = try await cluster.upload("/file", chunks: 2, groups: 1)
    let aborted = try await cluster.begin("/aborted", chunks: 2, groups: 1).upload
    try await cluster.namespace.mutate(AbortUpload(upload: aborted, cause: .client))
    let directory = try await cluster.mkdir("/d").inode
    let future = InodeID(rawValue: directory.rawValue + 1)
    let later = InodeID(SerialNumber(incarnation: 7, counter: 3))
    let alive = [open, file, aborted, future, later].map { ChunkID(inode: $0, index: 0) }
    #expect(try cluster.liveness(alive) == [.uploading, .named, .condemned, .foreign, .foreign])
    let revision = cluster.revision
    #expect(try await cluster.condemn(alive, holders: [1]) == 0)
    #expect(cluster.revision == revision, "what condemns nothing changes nothing")
    let beyond = ChunkID(inode: file, index: 9)
    #expect(
      try await cluster.condemn(alive + [beyond, ChunkID(inode: directory, index: 0)], holders: [1]) == 2)
    #expect(try cluster.liveness([beyond]) == [.condemned])

    let many = (0...512 as ClosedRange<UInt32>).map { ChunkID(inode: file, index: 100 + $0) }
    for (chunks, holders) in [
      ([], [1]), (many, [1]), ([beyond, beyond], [1]), ([beyond], []), ([beyond], [1, 1]),
      ([beyond], Array(1...33)),
    ] as [([ChunkID], [UInt64])] {
      #expect(await code { try await cluster.condemn(chunks, holders: holders) } == .invalidArgument)
    }
    // The largest list fits the ledger, with every id of another file.
    for number in 0..<600 { try await cluster.put("/small", [UInt8(number % 251)]) }
    let largest = (1...512).map { ChunkID(inode: InodeID(rawValue: directory.rawValue + $0), index: .max) }
    #expect(try await cluster.condemn(largest, holders: Array(1...32)) == 512)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a sweep that began before a commit finds nothing dead, in the same round or later`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    for (count, name) in [(3, "few"), (40, "segment"), (600, "segments")] {
      let upload = try await cluster.begin("/\(name)", chunks: 0).upload
      for start in stride(from: 0, to: count, by: 512) {
        let groups = Array(repeating: GroupID(rawValue: 0), count: min(512, count - start))
        try await cluster.namespace.mutate(AllocateChunks(upload: upload, groups: groups))
      }
      if count > 512 {
        let seal = SealSegment(upload: upload, segment: 0, chunks: cluster.stored(0..<512))
        try await cluster.namespace.mutate(seal)
      }
      let final = cluster.stored(UInt32(count > 512 ? 512 : 0)..<UInt32(count))
      // The sweep has seen the chunks on a node, and condemns beside the commit: whichever comes first in the
      // round, and most often both are in one.
      let chunks = (0..<UInt32(count)).map { ChunkID(inode: upload, index: $0) }
      let places = Unchecked(cluster)
      let condemned = try await withThrowingTaskGroup(of: UInt32.self) { group in
        for part in [0..<min(512, count), max(0, count - 512)..<count] {
          for _ in 0..<4 {
            group.addTask { try await places.value.condemn(Array(chunks[part]), holders: [1]) }
          }
        }
        group.addTask {
          guard
            case .committed = try await places.value.commit(upload, final, sealed: count > 512 ? 512 : 0)
          else { return .max }
          return 0
        }
        for _ in 0..<8 {
          group.addTask { try await places.value.condemn(Array(chunks.suffix(100)), holders: [1]) }
        }
        return try await group.reduce(0, max)
      }
      #expect(condemned == 0)
      #expect(Set(try cluster.liveness(chunks)) == [.named])
      #expect(try await cluster.condemn(Array(chunks.prefix(512)), holders: [1]) == 0)
    }
    try await cluster.finish()
  }

  @Test func `a commit and a sweep in one round: the chunks live`() throws {
    // The round as a value, so that both are in one for certain.
    for count in [3, 40] as [UInt32] {
      for isCommitFirst in [true, false] {
        let scene = try RoundScene()
        let begin = BeginUpload(
          target: try RemotePath("/f"), attributes: scene.attributes, chunkSize: smallChunks,
          groups: Array(repeating: GroupID(rawValue: 0), count: Int(count)))
        let upload = try scene.round { try $0.perform(begin, id: nil).outcome.upload }
        let stored = (0..<count).map {
          StoredChunk(
            index: $0, length: UInt32(smallChunks.bytes), root: digest(1), holders: [.init(1)])
        }
        let commit = CommitUpload(
          upload: upload, final: stored, chunkCount: UInt64(count),
          length: ByteCount(Int(count) * smallChunks.bytes), root: digest(9))
        let condemn = CondemnOrphans(
          group: GroupID(rawValue: 0), chunks: stored.map { ChunkID(inode: upload, index: $0.index) },
          holders: [NodeID(rawValue: 1)])
        try scene.round { round in
          if isCommitFirst { _ = try round.perform(commit, id: nil) }
          #expect(try round.perform(condemn, id: nil).outcome.condemned == 0)
          if !isCommitFirst { _ = try round.perform(commit, id: nil) }
        }
      }
    }
  }

  @Test func `a condemned record of the first version is read, and knows no orphans`() throws {
    let record = CondemnedRecord(kind: .upload, pages: 3, revision: Revision(rawValue: 8))
    #expect(try CondemnedRecord(stored: [1] + record.encoded.dropFirst()) == record)
    let orphans = CondemnedRecord.Orphans(
      group: GroupID(rawValue: 1), chunks: [ChunkID(inode: .root, index: 1)], holders: [NodeID(rawValue: 1)])
    let list = CondemnedRecord(orphans, revision: Revision(rawValue: 8))
    #expect(try CondemnedRecord(stored: list.encoded) == list)
    #expect(throws: DFSError.self) { try CondemnedRecord(stored: [1] + list.encoded.dropFirst()) }
  }

  @Test(arguments: Engine.allCases)
  func `a six-hour upload beside a sweep`(engine: Engine) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let upload = try await cluster.begin("/long", chunks: 0).upload
    var written: [ChunkID] = []
    var sealed: UInt32 = 0
    for hour in 0..<6 {
      let groups = Array(repeating: GroupID(rawValue: 0), count: 512)
      let indices = try await cluster.namespace.mutate(AllocateChunks(upload: upload, groups: groups)).outcome
        .indices
      written += indices.map { ChunkID(inode: upload, index: $0) }
      for _ in 0..<60 {
        cluster.clock.advance(by: .seconds(60))
        #expect(cluster.namespace.expiredUploads(limit: 10).isEmpty)
        _ = try cluster.namespace.renewUpload(upload)
        // The nodes have everything that was written, and more than was told.
        let seen = Array(written.suffix(500)) + [ChunkID(inode: upload, index: 4000)]
        #expect(try cluster.liveness(seen).allSatisfy { $0.isAlive })
        #expect(try await cluster.condemn(seen, holders: [1, 2, 3]) == 0)
        #expect(try cluster.namespace.nextCondemned() == nil)
      }
      if hour < 5 {
        let seal = SealSegment(upload: upload, segment: sealed, chunks: cluster.stored(indices))
        try await cluster.namespace.mutate(seal)
        sealed += 1
      }
    }
    let outcome = try await cluster.commit(upload, cluster.stored(2560..<3072), sealed: 2560)
    guard case .committed = outcome else { return #expect(Bool(false), "\(outcome)") }
    #expect(Set(try cluster.liveness(written)) == [.named])
    #expect(try await cluster.condemn(Array(written.suffix(512)), holders: [1]) == 0)
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `a transfer that ends after its upload was aborted and reaped is an orphan, and goes`(engine: Engine)
    async throws
  {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let upload = try await cluster.begin("/f", chunks: 3, groups: 1).upload
    let late = ChunkID(inode: upload, index: 2)
    cluster.clock.advance(by: .seconds(121))
    try await cluster.namespace.mutate(AbortUpload(upload: upload, cause: .expired))
    #expect(try cluster.liveness([late]) == [.condemned])
    #expect(try await cluster.condemn([late], holders: [2]) == 0, "its own record deals with it")
    #expect(try await cluster.reapAfterGrace().chunks.count == 3)
    #expect(try cluster.liveness([late]) == [.dead])
    #expect(try await cluster.condemn([late], holders: [2]) == 1)
    let reaped = try await cluster.reapAfterGrace()
    #expect(reaped.chunks == [CondemnedChunk(group: GroupID(rawValue: 0), chunk: late)])
    try await cluster.finish()
  }

  @Test(arguments: Engine.allCases)
  func `nothing is condemned while the namespace is held, and a later incarnation's chunks never`(
    engine: Engine
  ) async throws {
    let cluster = try TestCluster(engine)
    try await cluster.form(groups: 1)
    let file = try await cluster.upload("/f", chunks: 1, groups: 1)
    try await cluster.remove("/f")
    try await cluster.reapAfterGrace()
    let chunk = ChunkID(inode: file, index: 0)
    let later = ChunkID(inode: InodeID(SerialNumber(incarnation: 2, counter: 1)), index: 0)
    #expect(try cluster.liveness([chunk, later]) == [.dead, .foreign])
    try cluster.hold()
    try await cluster.restart()
    #expect(await code { try await cluster.condemn([chunk], holders: [1]) } == .failedPrecondition)
    try await cluster.namespace.mutate(ReleaseHold())
    #expect(try await cluster.condemn([chunk], holders: [1]) == 1)
    for incarnation in [UInt16(2), 3, .max] {
      let foreign = ChunkID(
        inode: InodeID(SerialNumber(incarnation: incarnation, counter: 1 << 40)), index: 0)
      #expect(try cluster.liveness([foreign]) == [.foreign])
      #expect(try await cluster.condemn([foreign], holders: [1]) == 0)
    }
    try await cluster.finish()
  }
}

extension TestCluster {
  func liveness(_ chunks: [ChunkID], group: UInt32 = 0) throws -> [ChunkLiveness] {
    try namespace.view().liveness(of: chunks, in: GroupID(rawValue: group))
  }

  func condemn(_ chunks: [ChunkID], holders: [UInt64], group: UInt32 = 0) async throws -> UInt32 {
    let mutation = CondemnOrphans(
      group: GroupID(rawValue: group), chunks: chunks, holders: holders.map { NodeID(rawValue: $0) })
    return try await namespace.mutate(mutation).outcome.condemned
  }
}

/// Rounds as values over one store, so that a test says what is in each of them.
private final class RoundScene {
  private let store = MemoryStore()
  private var mark = RoundMark.none
  private var state = StateRecord(time: ClusterTime(rawValue: 1_000_000))
  let attributes = FileAttributes(mode: 0o644, modified: TestCluster.start)

  init() throws {
    let root = DirectoryRecord(
      place: nil, attributes: attributes, created: FileTime(rawValue: 0),
      policy: PlacementPolicy(replicas: 1),
      revision: .zero)
    let slots = [GroupSlot(node: NodeID(rawValue: 1), state: .full)]
    let group = PlacementGroup(
      id: GroupID(rawValue: 0), epoch: GroupEpoch(rawValue: 1), policy: PlacementPolicy(replicas: 1),
      slots: slots)
    let node = ClusterNode(
      id: NodeID(rawValue: 1), store: StoreID(rawValue: 1), boot: BootID(rawValue: 1), endpoints: [],
      zone: "",
      capacity: .gib(1), state: .active, receiptKey: [])
    var batch = WriteBatch()
    batch.put(Keys.inode(.root), InodeRecord.directory(root).encoded)
    batch.put(Keys.group(group.id), GroupRecord(group).encoded)
    batch.put(Keys.node(node.id), NodeRecord(node).encoded)
    try store.apply(batch, durability: .synced)
  }

  /// Runs one round and applies it, as a ledger would.
  func round<Result>(_ body: (inout Round) throws -> Result) throws -> Result {
    var round = Round(
      over: store, previous: mark, term: 1, state: state,
      context: RoundContext(
        now: ClusterTime(rawValue: 1_000_000), wallTime: TestCluster.start,
        configuration: NamespaceConfiguration(), incarnation: 1, limits: .etcd, isLeaseOver: { _ in false }))
    let result = try body(&round)
    if let sealed = try round.seal() {
      var batch = sealed.batch.changes
      for change in sealed.derived {
        switch change {
        case .put(let key, let value): batch.put(key, value)
        case .delete(let key): batch.delete(key)
        case .deleteRange(let range): batch.deleteRange(range)
        }
      }
      try store.apply(batch, durability: .synced)
      (mark, state) = (sealed.batch.mark, sealed.state)
    }
    return result
  }
}
