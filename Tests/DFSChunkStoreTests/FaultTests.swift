import DFSCore
import DFSKeyValue
import Synchronization
import TestSupport
import Testing

@testable import DFSChunkStore

/// Full disks, failing syncs and rotten bytes.
@Suite struct FaultTests {
  private let small = TestChunk(1, length: 90_000)
  private let large = TestChunk(2, length: 500_000)

  private func path(_ chunk: TestChunk) -> String {
    "/data/chunks/\(ChunkFileName.name(chunk.group))/\(ChunkFileName.name(chunk.id))"
  }

  @Test func `a full disk refuses a chunk before its first byte and still deletes`() throws {
    let machine = MemoryMachine(disk: MemoryFileSystem(capacity: .mib(2)))
    let store = try machine.open(reserve: .kib(512))
    try large.write(to: store, length: 500_000)
    let space = try store.space()
    #expect(space.reserve == .kib(512))
    // Of 2 MiB are half a MiB reserve and half a MiB chunk, so another one fits, and a third does not.
    let first = try store.begin(ChunkPlan(chunk: small.id, group: small.group, largestLength: 600_000))
    expectError(.exhausted) {
      _ = try store.begin(
        ChunkPlan(chunk: TestChunk(3, length: 1).id, group: small.group, largestLength: 600_000))
    }
    first.abort()
    machine.disk.setCapacity(.kib(900))
    expectError(.exhausted) { try small.write(to: store, length: 90_000) }
    #expect(try large.read(from: store) == large.bytes)
    #expect(try store.delete([large.id], in: large.group).count == 1)
    try store.quarantine(large.id, in: large.group)
    try small.write(to: store, length: 90_000)
    guard case .writable = store.health else { return #expect(Bool(false), "a full disk is no failure") }
  }

  @Test func `a disk that fills up under a writer costs that chunk only`() throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    // Six times the buffer that goes to the disk as a whole: two are written, the third does not fit.
    let chunk = TestChunk(2, length: 3 << 20)
    let writer = try store.begin(chunk.plan)
    try chunk.append(0..<20, to: writer)
    machine.disk.setCapacity(.kib(1500))
    expectError(.exhausted) { try chunk.append(20..<40, to: writer) }
    expectError(.failedPrecondition) { _ = try writer.finish(length: chunk.bytes.count, root: chunk.root) }
    #expect(try machine.disk.entries(of: "/data/incoming").isEmpty)
    machine.disk.setCapacity(.gib(1))
    try chunk.write(to: store)
    #expect(try chunk.read(from: store) == chunk.bytes)
  }

  @Test func `deleting frees files even while the store of small chunks has no room to write`() throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    for chunk in [small, large] { try chunk.write(to: store) }
    machine.isSmallFull.store(true, ordering: .relaxed)
    #expect(small.group == large.group)
    expectError(.exhausted) { _ = try store.delete([small.id, large.id], in: small.group) }
    #expect(try store.stat(large.id, in: large.group) == nil)
    #expect(try small.read(from: store) == small.bytes)
    machine.isSmallFull.store(false, ordering: .relaxed)
    #expect(try store.delete([small.id, large.id], in: small.group).count == 1)
    #expect(try store.stat(small.id, in: small.group) == nil)
  }

  @Test func `a disk that is full when the last of a chunk is written costs that chunk only`() throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    let writer = try store.begin(large.plan)
    try large.append(0..<8, to: writer)
    machine.disk.setCapacity(.kib(330))
    expectError(.exhausted) { _ = try writer.finish(length: large.bytes.count, root: large.root) }
    #expect(try machine.disk.entries(of: "/data/incoming").isEmpty)
    machine.disk.setCapacity(.gib(1))
    try large.write(to: store)
    #expect(try large.read(from: store) == large.bytes)
  }

  @Test(arguments: [
    (MemoryFileSystem.Call.Operation.sync, DFSError.Code.outcomeUnknown), (.syncDirectory, .outcomeUnknown),
    (.write, .unavailable), (.rename, .unavailable),
  ]) func `after a failed sync or write the disk takes no more writes, and no sync is tried again`(
    _ operation: MemoryFileSystem.Call.Operation, _ code: DFSError.Code
  ) throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    try large.write(to: store)
    let failing = Atomic<Int>(0)
    machine.disk.setHook { call in
      guard call.operation == operation else { return .proceed }
      failing.wrappingAdd(1, ordering: .relaxed)
      return .fail(DFSError(code, "the disk is broken"))
    }
    let other = TestChunk(8, length: 400_000)
    let waiting = try store.begin(TestChunk(9, length: 400_000).plan)
    expectError(code) { try other.write(to: store) }
    #expect(failing.load(ordering: .relaxed) == 1)
    guard case .failed(let error) = store.health else {
      return #expect(Bool(false), "the failure is not shown")
    }
    #expect(error.code == code)
    expectError(.unavailable) { _ = try store.begin(other.plan) }
    expectError(.unavailable) { try other.append(0..<1, to: waiting) }
    #expect(failing.load(ordering: .relaxed) == 1)
    #expect(try large.read(from: store) == large.bytes)
    #expect(try store.space().claimed == .zero)
  }

  @Test func `a failed sync of the small chunks' store ends writing, too`() throws {
    let broken = Atomic<Bool>(false)
    let machine = MemoryMachine(
      small: MemoryStore { _ in
        if broken.load(ordering: .relaxed) { throw DFSError(.outcomeUnknown, "fdatasync failed") }
      })
    let store = try machine.open()
    try small.write(to: store)
    broken.store(true, ordering: .relaxed)
    expectError(.outcomeUnknown) { try TestChunk(5, length: 10).write(to: store) }
    expectError(.unavailable) { try large.write(to: store) }
    #expect(try small.read(from: store) == small.bytes)
  }

  @Test func `a flipped byte in the payload is found by its block, everywhere`() throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    let chunk = TestChunk(3, length: 300_000)
    try chunk.write(to: store)
    for offset in stride(from: 0, to: chunk.bytes.count, by: 7_919) {
      try machine.disk.flip(path(chunk), at: offset)
      let reader = try store.open(chunk.id, in: chunk.group)
      let bad = offset / Block.size
      for block in 0..<chunk.checksums.count {
        var bytes = [UInt8](repeating: 0, count: reader.bytes(of: block..<block + 1).count)
        let read = { try bytes.withUnsafeMutableBytes { try reader.read(block..<block + 1, into: $0) } }
        if block == bad { expectError(.corrupt) { try read() } } else { try read() }
      }
      expectError(.corrupt) { _ = try store.verify(chunk.id, in: chunk.group) }
      try machine.disk.flip(path(chunk), at: offset)
    }
    _ = try store.verify(chunk.id, in: chunk.group)
    try machine.disk.flip(path(chunk), at: 200_000)
    #expect(try store.quarantineUnlessSound(chunk.id, in: chunk.group))
    #expect(try store.stat(chunk.id, in: chunk.group) == nil)
    #expect(store.counts().quarantined == 1)
  }

  @Test func `a flipped byte anywhere in the footer is corrupt, and so is a file of another length`() throws {
    let machine = MemoryMachine()
    let chunk = TestChunk(3, length: 300_000)
    try chunk.write(to: machine.open())
    let stored = try machine.disk.contents(of: path(chunk)).count
    #expect(stored == ChunkFooter.storedLength(of: 300_000))
    for offset in 300_000..<stored {
      try machine.disk.flip(path(chunk), at: offset)
      let store = try machine.open()
      do {
        _ = try store.open(chunk.id, in: chunk.group)
        Issue.record("the byte at \(offset) is not checked")
      } catch let error as DFSError {
        // A changed version number says "newer"; it is outside the checksum's reach only there.
        #expect(
          error.code == .corrupt
            || (error.code == .unimplemented && offset >= stored - 12 && offset < stored - 8))
      }
      try machine.disk.flip(path(chunk), at: offset)
    }
    for length in [stored - 1, 299_000, 140] {
      try machine.disk.truncate(path(chunk), to: length)
      let store = try machine.open()
      expectError(.corrupt) { _ = try store.stat(chunk.id, in: chunk.group) }
      expectError(.corrupt) { _ = try store.verify(chunk.id, in: chunk.group) }
    }
  }

  @Test
  func `a chunk with a damaged footer is quarantined by the inventory, and replaced by the next writer`()
    throws
  {
    let machine = MemoryMachine()
    let chunks = [
      TestChunk(1, length: 300_000), TestChunk(2, length: 300_000), TestChunk(3, length: 300_000),
    ]
    do {
      let store = try machine.open()
      for chunk in chunks { try chunk.write(to: store) }
      store.close()
    }
    try machine.disk.flip(path(chunks[0]), at: 300_010)
    try machine.disk.flip(path(chunks[1]), at: 300_010)
    do {
      let store = try machine.open()
      try chunks[0].write(to: store)
      #expect(try chunks[0].read(from: store) == chunks[0].bytes)
      #expect(store.counts().quarantined == 1)
      let listed = try store.list(chunks[0].group, after: nil, limit: 10).chunks
      #expect(listed.map(\.chunk) == [chunks[0].id, chunks[2].id])
    }
    let counts = try machine.open().counts()
    #expect(counts.quarantined == 2)
    #expect(counts.chunks == 2)
  }

  @Test func `a bad chunk that can not be moved aside is neither listed nor read, until it verifies`()
    throws
  {
    let isFull = Atomic<Bool>(false)
    let full = DFSError(.exhausted, "the disk is full")
    let machine = MemoryMachine(
      small: MemoryStore { _ in
        if isFull.load(ordering: .relaxed) { throw full }
      })
    let store = try machine.open()
    let (good, bad) = (TestChunk(1, length: 300_000), TestChunk(2, length: 300_000))
    let (little, bare) = (TestChunk(3, length: 900), TestChunk(4, length: 300_000))
    for chunk in [good, bad, little, bare] { try chunk.write(to: store) }
    machine.disk.setHook {
      $0.operation == .rename && isFull.load(ordering: .relaxed) ? .fail(full) : .proceed
    }
    func listed() throws -> [ChunkID] {
      try store.list(good.group, after: nil, limit: 10).chunks.map(\.chunk)
    }
    func expectHidden(_ chunk: TestChunk) {
      expectError(.corrupt) { _ = try store.open(chunk.id, in: chunk.group) }
      expectError(.corrupt) { _ = try store.stat(chunk.id, in: chunk.group) }
      expectError(.corrupt) { _ = try store.confirm(chunk.id, in: chunk.group) }
    }
    isFull.store(true, ordering: .relaxed)
    try machine.disk.flip(path(bad), at: 70_000)
    expectError(.exhausted) { _ = try store.quarantineUnlessSound(bad.id, in: bad.group) }
    expectError(.exhausted) { try store.quarantine(little.id, in: little.group) }
    try machine.disk.flip(path(bare), at: 300_010)
    let page = try store.list(good.group, after: nil, limit: 10)
    #expect(page.chunks.map(\.chunk) == [good.id] && page.damaged == [bare.id] && page.last == bare.id)
    #expect(try store.list(good.group, after: nil, limit: 10).damaged.isEmpty, "it is told once")
    for chunk in [bad, little, bare] { expectHidden(chunk) }
    #expect(try good.read(from: store) == good.bytes)

    // As after an error of the bus, not of the disk.
    _ = try store.verify(little.id, in: little.group)
    #expect(try listed() == [good.id, little.id])
    expectError(.exhausted) { _ = try store.quarantineUnlessSound(bad.id, in: bad.group) }
    isFull.store(false, ordering: .relaxed)
    #expect(try store.quarantineUnlessSound(bad.id, in: bad.group))
    #expect(try store.stat(bad.id, in: bad.group) == nil)
    try bad.write(to: store)
    try bare.write(to: store)
    #expect(try listed() == [good, bad, little, bare].map(\.id))
    #expect(try bad.read(from: store) == bad.bytes && store.counts().quarantined == 2)
  }

  @Test func `a bad chunk that could not be moved aside and was removed by hand makes room for a good one`()
    throws
  {
    let machine = MemoryMachine()
    let store = try machine.open()
    let bad = TestChunk(1, length: 300_000)
    try bad.write(to: store)
    // It is kept open for readers from here on.
    #expect(try bad.read(from: store) == bad.bytes)
    let full = DFSError(.exhausted, "the disk is full")
    machine.disk.setHook { $0.operation == .rename ? .fail(full) : .proceed }
    try machine.disk.flip(path(bad), at: 70_000)
    expectError(.exhausted) { _ = try store.quarantineUnlessSound(bad.id, in: bad.group) }
    expectError(.corrupt) { _ = try store.stat(bad.id, in: bad.group) }
    machine.disk.setHook { _ in .proceed }
    try machine.disk.remove(path(bad))

    #expect(try !store.quarantineUnlessSound(bad.id, in: bad.group))
    #expect(try store.confirm(bad.id, in: bad.group) == nil)
    try bad.write(to: store)
    #expect(try bad.read(from: store) == bad.bytes)
    #expect(try machine.disk.length(of: path(bad)) != nil)
  }

  @Test func `the files kept open are bounded`() throws {
    let machine = MemoryMachine()
    let store = try machine.open(openFiles: 4)
    for inode in 1...20 as ClosedRange<UInt64> {
      let chunk = TestChunk(inode, length: 270_000)
      try chunk.write(to: store)
      _ = try chunk.read(from: store)
    }
    #expect(try store.list(GroupID(rawValue: 1), after: nil, limit: 100).chunks.count == 20)
    #expect(store.files.openCount == 4)
    // An inventory pushes nothing out: the last chunk read needs no call to be opened again.
    let calls = machine.disk.calls
    _ = try store.open(ChunkID(inode: InodeID(rawValue: 20), index: 0), in: GroupID(rawValue: 1))
    #expect(machine.disk.calls == calls)
  }

  @Test func `temporary files of a writer that died are removed at the next start`() throws {
    let machine = MemoryMachine()
    let store = try machine.open()
    let writer = try store.begin(large.plan)
    try large.append(0..<6, to: writer)
    try machine.disk.syncDirectory("/data/incoming")
    let disk = machine.disk.afterCrash()
    #expect(try disk.entries(of: "/data/incoming").count == 1)
    _ = try MemoryMachine(disk: disk).open()
    #expect(try disk.entries(of: "/data/incoming").isEmpty)
    withExtendedLifetime(writer) {}
  }

  @Test func `chunks that lie in quarantine only are named at the next start, small ones too`() throws {
    let machine = MemoryMachine()
    let chunks = [300_000, 300_000, 900, 900].enumerated().map {
      TestChunk(UInt64($0.offset + 1), length: $0.element)
    }
    do {
      let store = try machine.open()
      for chunk in chunks { try chunk.write(to: store) }
      for chunk in chunks { try store.quarantine(chunk.id, in: chunk.group) }
      for chunk in [chunks[1], chunks[3]] { try chunk.write(to: store) }
      store.close()
    }
    let missing = [chunks[0], chunks[2]]
    do {
      let store = try machine.open()
      #expect(store.openReport.missing == missing.map { ChunkPlace(chunk: $0.id, group: $0.group) })
      #expect(try store.delete(missing.map(\.id), in: missing[0].group).count == 0)
      store.close()
    }
    #expect(try machine.open().openReport == OpenReport())
  }

  @Test func `bringing in what the medium does not give back is an error`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let path = temporary.path + "/file"
    let fileSystem = PosixFileSystem()
    let file = try fileSystem.open(path, .create)
    try [UInt8](repeating: 7, count: 100_000).withUnsafeBytes { try file.write($0, at: 0) }
    try file.prefetch(0..<100_000)
    try file.prefetch(50_000..<200_000)
    // The first page of a process is mapped to nothing, and reading it an input/output error.
    let unreadable = try fileSystem.open("/proc/self/mem", .read)
    expectError(.corrupt) { try unreadable.prefetch(0..<8192) }
  }
}
