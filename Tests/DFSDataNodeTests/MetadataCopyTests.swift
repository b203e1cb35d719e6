import DFSChunkStore
import DFSCore
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSDataNode

/// A copy of the coordinator's metadata in a node's files.
@Suite struct MetadataCopyTests {
  private static let cluster = ClusterID(rawValue: 7)

  private static func header(_ incarnation: UInt16 = 1, term: UInt64 = 1) -> CopyFileHeader {
    CopyFileHeader(cluster: cluster, epoch: Epoch(incarnation: incarnation, term: term))
  }

  private static func piece(_ number: UInt64, _ mark: UInt8 = 0) -> CopyFrame {
    CopyFrame(kind: .checkpoint, number: number, term: 1, content: [mark, UInt8(number), 1, 2, 3])
  }
  private static func end(at round: UInt64) -> CopyFrame {
    CopyFrame(kind: .end, number: round, term: 1, content: [])
  }
  private static func rounds(_ numbers: ClosedRange<UInt64>, term: UInt64 = 1) -> [CopyFrame] {
    numbers.map { CopyFrame(kind: .round, number: $0, term: term, content: Array(repeating: UInt8($0), count: 40)) }
  }

  private static func store(_ machine: MemoryFileSystem, reserve: ByteCount = .zero) throws -> MetadataCopyStore {
    try machine.makeDirectory("/node")
    try machine.syncDirectory("/")
    return MetadataCopyStore(directory: "/node", fileSystem: machine) {
      try machine.space(at: "/node").free - reserve
    }
  }

  /// What a reader of the copy gets: the checkpoint's pieces, the round it shows, the rounds after it.
  private static func contents(
    _ store: MetadataCopyStore
  ) throws -> (pieces: [[UInt8]], start: UInt64, rounds: [UInt64])? {
    guard var (_, reader) = try store.read() else { return nil }
    var found: (pieces: [[UInt8]], start: UInt64, rounds: [UInt64]) = ([], 0, [])
    while let frame = try reader.next() {
      switch frame.kind {
      case .checkpoint: found.pieces.append(frame.content)
      case .end: found.start = frame.number
      case .round:
        #expect(frame.content == Array(repeating: UInt8(frame.number), count: 40))
        found.rounds.append(frame.number)
      }
    }
    return found
  }

  /// A life of a copy; tells what was acknowledged.
  private static func live(_ store: MetadataCopyStore, _ acknowledged: (StoredCopy) -> Void) throws {
    func add(_ frames: [CopyFrame], _ session: MetadataCopyStore.Session) throws {
      if let copy = try store.add(frames, in: session) { acknowledged(copy) }
    }
    let first = try store.begin(header()).session
    try add([piece(0)], first)
    try add(rounds(11...12), first)
    try add([piece(1), end(at: 10)], first)
    try add(rounds(13...13), first)
    try add(rounds(14...20), first)
    // Another coordinator goes on.
    let second = try store.begin(header(term: 2)).session
    try add(rounds(21...24, term: 2), second)
    // A new checkpoint replaces all, with rounds that come meanwhile.
    try add([piece(0, 9)], second)
    try add(rounds(26...27, term: 2), second)
    try add([piece(1, 9)], second)
    try add([piece(2, 9), end(at: 25)], second)
    try add(rounds(28...30, term: 2), second)
  }

  @Test func `after a stop behind every single call the copy is whole and has what was acknowledged`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let whole = MemoryFileSystem()
    try Self.live(try Self.store(whole)) { _ in }
    let calls = whole.calls
    #expect(calls > 40)
    for stop in 0..<calls {
      for keepsMore in [false, true] {
        let machine = MemoryFileSystem()
        let store = try Self.store(machine)
        let start = machine.calls
        machine.setHook { call in
          guard call.number >= start + stop else { return .proceed }
          let error = DFSError(.unavailable, "the power is off")
          return call.number == start + stop ? .failHalfway(error) : .fail(error)
        }
        var last: StoredCopy?
        do { try Self.live(store) { last = $0 } } catch is DFSError {}
        let after = keepsMore ? machine.afterCrash(using: &random) : machine.afterCrash()
        try Self.check(after, last, "stopped after call \(stop), seed \(random.seed)")
      }
    }
  }

  private static func check(_ machine: MemoryFileSystem, _ acknowledged: StoredCopy?, _ comment: String) throws {
    let store = try store(machine)
    let found = try store.present()
    if let acknowledged {
      #expect(found.map { $0.round >= acknowledged.round } == true, "\(comment)")
      #expect(found.map { $0.generation >= acknowledged.generation } == true, "\(comment)")
    }
    if let found, let contents = try contents(store) {
      #expect(contents.pieces.count == (contents.start == 10 ? 2 : 3), "\(comment)")
      let expected = contents.start + 1 <= found.round ? Array(contents.start + 1...found.round) : []
      #expect(contents.rounds == expected, "\(comment)")
    }
    // The coordinator goes on with it, or begins anew.
    let (session, copy) = try store.begin(header(term: 3))
    let next: StoredCopy?
    if let copy {
      next = try store.add(rounds(copy.round + 1...copy.round + 1, term: 3), in: session)
      #expect(next?.round == copy.round + 1, "\(comment)")
    } else {
      next = try store.add([piece(0), piece(1), end(at: 10)], in: session)
      #expect(next?.round == 10, "\(comment)")
    }
    let again = try MetadataCopyTests.store(machine.afterCrash())
    #expect(try again.present()?.round == next?.round, "\(comment)")
    // Nothing else is left behind.
    let names = try machine.entries(of: "/node/metadata").compactMap { CopyFiles.Name($0) }
    #expect(Set(names.map(\.generation)) == Set([next?.generation ?? 0]), "\(comment): \(names)")
  }

  @Test func `a torn end is cut off, and a damaged round ends the copy before it`() throws {
    let machine = MemoryFileSystem()
    let store = try Self.store(machine)
    let session = try store.begin(Self.header()).session
    _ = try store.add([Self.piece(0), Self.end(at: 4)], in: session)
    _ = try store.add(Self.rounds(5...9), in: session)
    let log = "/node/metadata/rounds-1-1"
    let length = try machine.contents(of: log).count
    let frame = CopyFrame.headLength + 40

    try machine.truncate(log, to: length - 3)
    #expect(try Self.store(machine).present()?.round == 8)
    try machine.flip(log, at: length - 2 * frame - 1)
    #expect(try Self.store(machine).present()?.round == 6)
    // Going on never writes behind a torn end.
    let next = try Self.store(machine)
    let (second, copy) = try next.begin(Self.header())
    #expect(copy?.round == 6)
    _ = try next.add(Self.rounds(7...8), in: second)
    #expect(try Self.contents(Self.store(machine))?.rounds == [5, 6, 7, 8])
  }

  @Test func `a damaged checkpoint is found by its reader, one without an end at the start`() throws {
    let machine = MemoryFileSystem()
    let store = try Self.store(machine)
    let session = try store.begin(Self.header()).session
    _ = try store.add([Self.piece(0), Self.piece(1), Self.end(at: 4)], in: session)
    try machine.flip("/node/metadata/checkpoint-1", at: CopyFileHeader.length + CopyFrame.headLength + 2)
    #expect(throws: DFSError.self) { try Self.contents(store) }
    try machine.truncate("/node/metadata/checkpoint-1", to: 60)
    let next = try Self.store(machine)
    #expect(try next.present() == nil)
    // A new one takes its place.
    let (second, copy) = try next.begin(Self.header())
    #expect(copy == nil)
    _ = try next.add([Self.piece(0), Self.end(at: 5)], in: second)
    #expect(try Self.contents(Self.store(machine))?.start == 5)
  }

  @Test func `frames that do not follow, older sessions and other histories are refused`() throws {
    let machine = MemoryFileSystem()
    let store = try Self.store(machine)
    func refusal(_ frames: [CopyFrame], _ session: MetadataCopyStore.Session) -> DFSError.Code? {
      do {
        _ = try store.add(frames, in: session)
        return nil
      } catch { return DFSError(wrapping: error, "").code }
    }
    var session = try store.begin(Self.header()).session
    #expect(refusal(Self.rounds(1...1), session) == .invalidArgument)
    // After an error the session is over.
    #expect(refusal([Self.piece(0)], session) == .stale)
    session = try store.begin(Self.header()).session
    #expect(refusal([Self.end(at: 3)], session) == .invalidArgument)
    session = try store.begin(Self.header()).session
    #expect(refusal([Self.piece(0), Self.piece(2)], session) == .invalidArgument)
    session = try store.begin(Self.header()).session
    // Rounds between the pieces must follow what the checkpoint shows.
    #expect(refusal([Self.piece(0)] + Self.rounds(6...7) + [Self.end(at: 4)], session) == .invalidArgument)
    #expect(try store.present() == nil)
    session = try store.begin(Self.header()).session
    #expect(refusal([Self.piece(0), Self.end(at: 4)] + Self.rounds(5...6), session) == nil)
    #expect(refusal(Self.rounds(8...8), session) == .invalidArgument)
    session = try store.begin(Self.header(term: 4)).session
    let newer = try store.begin(Self.header(term: 4)).session
    #expect(refusal(Self.rounds(7...7, term: 4), session) == .stale)
    #expect(refusal(Self.rounds(7...7, term: 4), newer) == nil)
    // A restored coordinator, a foreign one and an older one can not go on with it.
    #expect(try store.begin(Self.header(2, term: 4)).copy == nil)
    #expect(try store.begin(Self.header(1, term: 3)).copy == nil)
    let foreign = CopyFileHeader(cluster: ClusterID(rawValue: 8), epoch: Epoch(incarnation: 1, term: 9))
    #expect(try store.begin(foreign).copy == nil)
    #expect(try store.begin(Self.header(1, term: 5)).copy?.round == 7)
  }

  @Test func `a full disk refuses politely, keeps the old copy, and gives its space back`() throws {
    let machine = MemoryFileSystem(capacity: .kib(40))
    let store = try Self.store(machine, reserve: .kib(8))
    let session = try store.begin(Self.header()).session
    _ = try store.add([Self.piece(0), Self.end(at: 4)] + Self.rounds(5...6), in: session)
    let big = CopyFrame(kind: .checkpoint, number: 0, term: 1, content: Array(repeating: 1, count: 20_000))
    var bigger = big
    bigger.number = 1
    _ = try store.add([big], in: session)
    do {
      _ = try store.add([bigger], in: session)
      Issue.record("the reserve was touched")
    } catch let error as DFSError { #expect(error.code == .exhausted) }
    #expect(try store.present()?.round == 6)
    #expect(try machine.space(at: "/node").free > .kib(38))
    let (next, copy) = try store.begin(Self.header())
    #expect(copy?.round == 6)
    #expect(try store.add(Self.rounds(7...7), in: next)?.round == 7)
  }

  @Test func `after a failed sync nothing more is written, and what was there is read`() throws {
    let machine = MemoryFileSystem()
    let store = try Self.store(machine)
    let session = try store.begin(Self.header()).session
    _ = try store.add([Self.piece(0), Self.end(at: 4)], in: session)
    machine.setHook { call in
      call.operation == .sync ? .fail(DFSError(.outcomeUnknown, "can not sync")) : .proceed
    }
    #expect(throws: DFSError.self) { try store.add(Self.rounds(5...5), in: session) }
    machine.setHook { _ in .proceed }
    do {
      _ = try store.begin(Self.header())
      Issue.record("a disk that may lie is written to")
    } catch let error as DFSError { #expect(error.code == .unavailable) }
    #expect(try Self.contents(store)?.start == 4)
  }

  @Test(arguments: [11, SeededGenerator().seed])
  func `damaged files are refused or shorter, and never trap`(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let machine = MemoryFileSystem()
    let store = try Self.store(machine)
    try Self.live(store) { _ in }
    for name in try machine.entries(of: "/node/metadata") {
      let path = "/node/metadata/\(name)"
      let whole = try machine.contents(of: path)
      for _ in 0..<120 {
        let offset = Int.random(in: 0..<whole.count, using: &random)
        let mask = UInt8.random(in: 1...255, using: &random)
        try machine.flip(path, at: offset, mask: mask)
        let damaged = try Self.store(machine)
        do {
          // A flipped checkpoint that was put aside would be removed with the next one only.
          if let copy = try damaged.present(), let contents = try Self.contents(damaged) {
            #expect(copy.round <= 30 && contents.start == 25, "seed \(seed)")
          }
        } catch let error as DFSError {
          #expect(error.code == .corrupt || error.code == .failedPrecondition, "seed \(seed)")
        }
        try machine.flip(path, at: offset, mask: mask)
      }
      #expect(try machine.contents(of: path) == whole)
    }
  }
}
