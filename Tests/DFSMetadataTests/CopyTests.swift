import DFSCore
import DFSKeyValue
import TestSupport
import Testing

@testable import DFSMetadata

/// Copies of the metadata: what a checkpoint and the rounds after it rebuild.
@Suite struct CopyTests {
  /// A copy as a datanode would keep it.
  private struct Copy {
    var pieces: [[UInt8]] = []
    var start = RoundMark.none
    var rounds: [[UInt8]] = []
    var mark = RoundMark.none

    mutating func takeCheckpoint(_ checkpoint: MetadataCheckpoint) throws {
      var checkpoint = checkpoint
      self = Copy(start: checkpoint.mark, mark: checkpoint.mark)
      while let piece = try checkpoint.nextPiece() { pieces.append(piece) }
    }

    /// Takes all rounds that there are.
    mutating func follow(_ feed: RoundFeed) throws {
      while case .rounds(let more) = feed.rounds(after: mark, upTo: 4096) {
        for round in more {
          rounds.append(round.encoded)
          mark = round.mark
        }
      }
      #expect(mark == feed.last)
    }

    func restore(
      into store: any OrderedStore = MemoryStore(), above seen: MetadataRestore.Seen = .init()
    ) throws -> MetadataRestore.Outcome {
      var restore = try MetadataRestore(into: store)
      for (number, piece) in pieces.enumerated() { try restore.add(piece: piece, number: UInt64(number)) }
      try restore.endCheckpoint(at: start)
      for round in rounds { try restore.add(round: round) }
      return try restore.finish(above: seen)
    }
  }

  private func records(_ store: any StoreReader) throws -> [[UInt8]: [UInt8]] {
    var records: [[UInt8]: [UInt8]] = [:]
    try store.scan(KeyRange(from: [], to: nil)) { key, value in
      // Groups and the state are raised by a restore.
      if key[0] != UInt8(ascii: "m"), key[0] != UInt8(ascii: "g") { records[Array(key)] = Array(value) }
      return .goOn
    }
    return records
  }

  /// Some of everything: files of all shapes, trees, removals, an open upload.
  private func work(_ cluster: TestCluster, _ name: String, _ random: inout SeededGenerator) async throws {
    for step in 0..<30 {
      let path = "/\(name)-\(Int.random(in: 0..<12, using: &random))"
      _ = await code {
        switch step % 6 {
        case 0: try await cluster.put(path, Array(repeating: 7, count: step))
        case 1: try await cluster.upload(path, chunks: 1 + step)
        case 2: try await cluster.mkdir(path + "-d/e", .make)
        case 3: try await cluster.remove(path, .tree)
        case 4: try await cluster.rename(path, path + "-moved")
        default: _ = try await cluster.begin(path + "-open", chunks: step)
        }
      }
    }
  }

  @Test(arguments: Engine.allCases)
  func `a checkpoint taken while others write, and the rounds after it, rebuild the same store`(engine: Engine)
    async throws
  {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let cluster = try TestCluster(engine, seed: random.seed)
    try await cluster.form()
    try await work(cluster, "before", &random)
    var walk = try cluster.namespace.checkpoint()
    var copy = Copy(start: walk.mark, mark: walk.mark)
    // The walk shows its own round, whatever happens meanwhile.
    try await work(cluster, "meanwhile", &random)
    while let piece = try walk.nextPiece() { copy.pieces.append(piece) }
    try copy.follow(cluster.namespace.rounds)
    try await work(cluster, "after", &random)
    try copy.follow(cluster.namespace.rounds)

    let restored = MemoryStore()
    let outcome = try copy.restore(into: restored)
    #expect(outcome.cluster == cluster.namespace.cluster)
    #expect(outcome.revision == cluster.namespace.revision)
    #expect(outcome.counts == cluster.namespace.counts)
    #expect(outcome.nodes.map(\.id.rawValue) == [1, 2, 3])
    #expect(try records(restored) == records(cluster.store), "seed \(random.seed)")
    try await cluster.finish()
  }

  @Test func `a restored namespace is held, a new incarnation, and above everything that was seen`() async throws
  {
    let cluster = try TestCluster(.rocksDB)
    try await cluster.form()
    let file = try await cluster.upload("/f", chunks: 2)
    let open = try await cluster.begin("/open", chunks: 1).upload
    var copy = Copy()
    try copy.takeCheckpoint(try cluster.namespace.checkpoint())
    // Lost: an upload that takes the next id, and a change of a group.
    let lost = try await cluster.upload("/lost", chunks: 1)
    let group = try cluster.group(0)
    let lostRevision = cluster.revision

    let store = MemoryStore()
    let seen = MetadataRestore.Seen(
      epoch: Epoch(incarnation: 4, term: 9), revision: Revision(rawValue: 3_000_000_017))
    let outcome = try copy.restore(into: store, above: seen)
    #expect(outcome.incarnation == 5)
    let namespace = try Namespace.open(
      store: store, ledger: StandaloneLedger(), configuration: cluster.configuration,
      logger: TestCluster.logger)
    #expect(namespace.isHeld)
    #expect(namespace.epoch > seen.epoch && namespace.epoch > cluster.namespace.epoch)
    #expect(namespace.revision >= Revision(rawValue: 4_000_000_000))
    #expect(try namespace.view().manifest(file, page: 0).chunks.count == 2)
    #expect(await code { try namespace.view().stat(cluster.path("/lost")) } == .notFound)
    #expect(try namespace.view().group(group.id).map { $0.epoch > group.epoch } == true)
    try namespace.view().checkDigest()

    // An id that was handed out after the copy comes never again.
    let begin = BeginUpload(
      target: cluster.path("/new"), attributes: cluster.attributes, precondition: .none,
      chunkSize: smallChunks, groups: [group.id])
    let client = RequestID(seen: lostRevision, high: 1, low: 2)
    let upload = try await namespace.mutate(begin, id: client).outcome.upload
    #expect(upload != lost && SerialNumber(rawValue: upload.rawValue).incarnation == 5)
    // What an upload of before was given after the copy is not known.
    let more = AllocateChunks(upload: open, groups: [group.id])
    #expect(await code { try await namespace.mutate(more) } == .failedPrecondition)
    #expect(try await namespace.mutate(ReleaseHold()).outcome.wasHeld)
    await namespace.close()
    try await cluster.finish()
  }

  @Test func `a copy of the lost history does not go on with the restored one`() async throws {
    let cluster = try TestCluster(.rocksDB)
    var copy = Copy()
    try copy.takeCheckpoint(try cluster.namespace.checkpoint())
    for number in 0..<5 { try await cluster.put("/lost-\(number)") }
    let lost = cluster.namespace.rounds.last

    let store = MemoryStore()
    _ = try copy.restore(into: store)
    let namespace = try Namespace.open(
      store: store, ledger: StandaloneLedger(), configuration: cluster.configuration,
      logger: TestCluster.logger)
    for number in 0..<9 {
      let put = PutInline(
        target: cluster.path("/new-\(number)"), attributes: cluster.attributes, bytes: [], root: digest(1))
      try await namespace.mutate(put)
    }
    for mark in [lost, copy.mark] {
      guard case .gap = namespace.rounds.rounds(after: mark, upTo: 1) else {
        Issue.record("round \(mark) of the lost history has a successor")
        continue
      }
    }
    await namespace.close()
    try await cluster.finish()
  }

  @Test func `after a restart a copy that has everything goes on without a checkpoint`() async throws {
    let cluster = try TestCluster(.rocksDB)
    try await cluster.put("/a")
    var copy = Copy()
    try copy.takeCheckpoint(try cluster.namespace.checkpoint())
    try await cluster.restart()
    try await cluster.put("/b")
    try copy.follow(cluster.namespace.rounds)
    #expect(try copy.restore().revision == cluster.namespace.revision)
    try await cluster.finish()
  }

  @Test func `a copy with a hole, pieces out of order or a changed record is refused`() async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let cluster = try TestCluster(.rocksDB)
    try await cluster.form()
    for number in 0..<2000 { try await cluster.put("/f\(number)", Array(repeating: 1, count: 400)) }
    var whole = Copy()
    try whole.takeCheckpoint(try cluster.namespace.checkpoint())
    try await work(cluster, "after", &random)
    try whole.follow(cluster.namespace.rounds)
    try #require(whole.pieces.count > 2 && whole.rounds.count > 2)
    _ = try whole.restore()

    func refusal(_ change: (inout Copy) -> Void) async -> DFSError.Code? {
      var copy = whole
      change(&copy)
      return await code { try copy.restore() }
    }
    #expect(await refusal { $0.rounds.remove(at: 1) } == .corrupt)
    #expect(await refusal { $0.rounds.swapAt(0, 1) } == .corrupt)
    #expect(await refusal { $0.rounds.insert($0.rounds[0], at: 0) } == .corrupt)
    #expect(await refusal { $0.pieces.remove(at: 1) } == .corrupt)
    #expect(await refusal { $0.pieces.removeLast() } == .corrupt)
    #expect(await refusal { $0.pieces.swapAt(0, 1) } == .corrupt)
    #expect(await refusal { $0.pieces.insert($0.pieces[0], at: 1) } == .corrupt)
    #expect(await refusal { $0.start.round += 1 } == .corrupt)
    #expect(await refusal { $0.pieces = [] } == .corrupt)
    // The last byte of the second piece belongs to a value: only the digest can tell.
    #expect(await refusal { $0.pieces[1][$0.pieces[1].count - 1] ^= 1 } == .corrupt)
    let used = MemoryStore()
    _ = try whole.restore(into: used)
    #expect(await code { try MetadataRestore(into: used) } == .failedPrecondition)
    try await cluster.finish()
  }
}

/// The decoders of what comes back from datanodes.
@Suite struct CopyCodecTests {
  private func round(_ random: inout SeededGenerator) -> SettledRound {
    let previous = RoundMark(term: UInt64.random(in: 1...9, using: &random), round: random.next() >> 1)
    let mark = RoundMark(term: previous.term, round: previous.round + 1)
    var changes = WriteBatch()
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      let key = Array("e/".utf8) + random.bytes(Int.random(in: 1...20, using: &random))
      switch Int.random(in: 0...2, using: &random) {
      case 0: changes.put(key, random.bytes(Int.random(in: 0...300, using: &random)))
      case 1: changes.delete(key)
      default: changes.deleteRange(KeyRange(from: key, to: key + [1]))
      }
    }
    changes.put(Keys.round, mark.encoded)
    return SettledRound(LedgerBatch(previous: previous, mark: mark, changes: changes), settledAt: .zero)
  }

  @Test func `a round comes back as it was written`() throws {
    var random = SeededGenerator()
    for _ in 0..<300 {
      let round = round(&random)
      let back = try SettledRound(encoded: round.encoded)
      #expect(back.changes.changes == round.changes.changes, "seed \(random.seed)")
      #expect(back.mark == round.mark && back.previous == round.previous)
    }
  }

  /// Seeds that once failed are run again beside a fresh one.
  @Test(arguments: [1, 2, 3, SeededGenerator().seed])
  func `damaged rounds and pieces are refused or another valid one, and never trap`(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var piece = RecordWriter()
    piece.byte(1)
    for number in UInt8(0)..<9 {
      piece.blob(Array("e/".utf8) + [number])
      piece.blob(random.bytes(Int.random(in: 0...80, using: &random)))
    }
    func attempt(_ body: () throws -> Void) throws {
      do { try body() } catch let error as DFSError { #expect(error.code == .corrupt, "seed \(seed)") }
    }
    for _ in 0..<400 {
      let whole = round(&random).encoded
      for bytes in [whole, piece.bytes] {
        var damaged = bytes
        switch Int.random(in: 0...3, using: &random) {
        case 0: damaged.removeLast(Int.random(in: 1...bytes.count, using: &random))
        case 1: damaged += random.bytes(Int.random(in: 1...9, using: &random))
        case 2: damaged = [1] + random.bytes(Int.random(in: 0...200, using: &random))
        default:
          for _ in 0..<Int.random(in: 1...4, using: &random) {
            damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
          }
        }
        try attempt { _ = try SettledRound(encoded: damaged) }
        try attempt { _ = try MetadataCheckpoint.records(of: damaged) }
      }
    }
  }

  @Test func `keys that are derived, and rounds that name another one, are refused`() throws {
    let mark = RoundMark(term: 2, round: 8)
    func decode(_ previous: RoundMark, _ change: (inout WriteBatch) -> Void) throws {
      var changes = WriteBatch()
      change(&changes)
      let batch = LedgerBatch(previous: previous, mark: mark, changes: changes)
      _ = try SettledRound(encoded: SettledRound(batch, settledAt: .zero).encoded)
    }
    let previous = RoundMark(term: 2, round: 7)
    try decode(previous) { $0.put(Keys.round, mark.encoded) }
    #expect(throws: DFSError.self) { try decode(previous) { $0.put(Keys.round, previous.encoded) } }
    #expect(throws: DFSError.self) { try decode(previous) { _ in } }
    #expect(throws: DFSError.self) {
      try decode(RoundMark(term: 2, round: 6)) { $0.put(Keys.round, mark.encoded) }
    }
    #expect(throws: DFSError.self) {
      try decode(RoundMark(term: 3, round: 7)) { $0.put(Keys.round, mark.encoded) }
    }
    #expect(throws: DFSError.self) {
      try decode(previous) {
        $0.put(Array("k/12345".utf8), [])
        $0.put(Keys.round, mark.encoded)
      }
    }
    // Too short for its kind: what is derived from it would be read past its end.
    #expect(throws: DFSError.self) {
      try decode(previous) {
        $0.delete(Array("i/1234".utf8))
        $0.put(Keys.round, mark.encoded)
      }
    }
  }
}

@Suite struct RoundFeedTests {
  private func round(_ number: UInt64, term: UInt64 = 1, bytes: Int = 100) -> SettledRound {
    let mark = RoundMark(term: term, round: number)
    var changes = WriteBatch()
    changes.put(Keys.round, mark.encoded)
    changes.put(Array("e/1".utf8), Array(repeating: 0, count: bytes))
    return SettledRound(
      LedgerBatch(previous: RoundMark(term: term, round: number - 1), mark: mark, changes: changes),
      settledAt: .seconds(Int64(number)))
  }

  private func numbers(_ reading: RoundFeed.Reading) -> [UInt64]? {
    switch reading {
    case .rounds(let rounds): rounds.map(\.mark.round)
    case .upToDate: []
    case .gap: nil
    }
  }

  @Test func `a reader gets what follows, or is told that it is not there`() {
    let feed = RoundFeed(last: RoundMark(term: 1, round: 4), budget: .kib(1))
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 4), upTo: 1000)) == [])
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 3), upTo: 1000)) == nil)
    for number in UInt64(5)...7 { feed.publish(round(number)) }
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 4), upTo: 10_000)) == [5, 6, 7])
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 5), upTo: 1)) == [6])
    #expect(numbers(feed.rounds(after: RoundMark(term: 2, round: 5), upTo: 1)) == nil)
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 9), upTo: 1)) == nil)
    #expect(feed.settledAt(after: 5) == .seconds(6))
    #expect(feed.settledAt(after: 7) == nil)
    // The budget drops the oldest, but keeps one however large it is.
    feed.publish(round(8, bytes: 5000))
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 6), upTo: 1)) == nil)
    #expect(numbers(feed.rounds(after: RoundMark(term: 1, round: 7), upTo: 1)) == [8])
  }

  @Test func `a reader that waits is woken by a round, by the end and by its cancellation`() async {
    let feed = RoundFeed(last: RoundMark(term: 1, round: 4), budget: .kib(1))
    async let woken: Void = feed.wait(after: 4)
    feed.publish(round(5))
    await woken
    await feed.wait(after: 4)
    let cancelled = Task { await feed.wait(after: 5) }
    cancelled.cancel()
    await cancelled.value
    async let ended: Void = feed.wait(after: 5)
    feed.end()
    await ended
  }
}
