import DFSCore
import DFSKeyValue
import Foundation
import TestSupport
import Testing

@testable import DFSChunkStore

/// What only real files and RocksDB can show.
@Suite struct LocalDiskTests {
  /// `/dev/shm` is in memory, where some kernels know no way past the page cache.
  @Test(arguments: [NSTemporaryDirectory(), "/dev/shm"])
  func `chunks of every length around a block, a page and a buffer come back`(_ parent: String) throws {
    let path = URL(fileURLWithPath: parent).appendingPathComponent("dfs-chunks-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    var chunks: [TestChunk] = []
    for edge in [256 << 10, 512 << 10, 1 << 20, 3 << 20] as [Int] {
      for offset in [-4096, -1, 0, 1, 4096] as [Int] {
        chunks.append(TestChunk(UInt64(70 + chunks.count), length: edge + offset))
      }
    }
    // A piece may end anywhere in a buffer, or fill several.
    for step in [1, 3, 16, 48] {
      let store = try StoreUnderTest.openDisk("\(path)/\(step)")
      defer { store.close() }
      for chunk in chunks { try chunk.write(to: store, step: step) }
      for chunk in chunks { #expect(try chunk.read(from: store) == chunk.bytes) }
    }
  }

  @Test func `more writers than buffers write all the same, whoever ends first`() throws {
    let temporary = try TemporaryDirectory("dfs-writers")
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    for round in 0..<2 as Range<Int> {
      let chunks = (0..<40).map { TestChunk(UInt64(100 * round + $0 + 1), length: 600_000 + $0) }
      var writers = try chunks.map { try store.begin($0.plan) }
      for step in 0..<5 {
        for (chunk, writer) in zip(chunks, writers) { try chunk.append(step * 2..<step * 2 + 2, to: writer) }
      }
      for index in chunks.indices.reversed() {
        _ = try writers[index].finish(length: chunks[index].bytes.count, root: chunks[index].root)
      }
      writers = []
      for chunk in chunks { #expect(try chunk.read(from: store) == chunk.bytes) }
      #expect(try store.delete(chunks.map(\.id), in: chunks[0].group).count == chunks.count)
    }
  }

  @Test(arguments: [0, 1, 100, 4096]) func `pieces that begin at a page, or do not, make the same chunk`(
    shift: Int
  )
    throws
  {
    let temporary = try TemporaryDirectory("dfs-pieces")
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    let chunk = TestChunk(9, length: 60 * Block.size + 12_345)
    let writer = try store.begin(chunk.plan)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.bytes.count + 8192, alignment: 4096)
    defer { memory.deallocate() }
    var next = 0
    // Large and small ones, some at a page and some not, after one another.
    for (count, place) in [(15, 0), (8, shift), (15, 0), (2, 0), (1, shift), (8, 0), (5, 0), (7, shift)] {
      let blocks = next..<next + count
      let range = blocks.lowerBound * Block.size..<min(blocks.upperBound * Block.size, chunk.bytes.count)
      let piece = UnsafeMutableRawBufferPointer(rebasing: memory[place..<place + range.count])
      piece.copyBytes(from: chunk.bytes[range])
      try chunk.leaves[blocks.lowerBound * 32..<blocks.upperBound * 32].withUnsafeBytes {
        try writer.append(
          UnsafeRawBufferPointer(piece), checksums: Array(chunk.checksums[blocks]), leaves: $0)
      }
      next += count
    }
    _ = try writer.finish(length: chunk.bytes.count, root: chunk.root)
    #expect(try chunk.read(from: store) == chunk.bytes)
    _ = try store.verify(chunk.id, in: chunk.group)
  }

  @Test func `whole pages and the rest come back in order, over cached bytes too`() throws {
    let temporary = try TemporaryDirectory("dfs-pages")
    let file = try PosixFileSystem().open(temporary.path + "/file", .create)
    let buffer = PageBuffer()
    let pattern = (0..<PageBuffer.capacity).map { UInt8(truncatingIfNeeded: $0 / 4096 &+ $0) }
    #expect(pattern.withUnsafeBytes { buffer.fill($0) } == PageBuffer.capacity)
    // Bytes that lie in the page cache are replaced there, too.
    try [UInt8](repeating: 1, count: 3 * 4096).withUnsafeBytes { try file.write($0, at: 0) }
    try file.writePages(buffer.pages, at: 4096)
    try [UInt8(9), 8, 7].withUnsafeBytes { try file.write($0, at: 4096 + PageBuffer.capacity) }
    try file.sync()
    var back = [UInt8](repeating: 0, count: PageBuffer.capacity + 2 * 4096)
    let count = try back.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    #expect(count == 4096 + PageBuffer.capacity + 3)
    #expect(back[..<4096].allSatisfy { $0 == 1 })
    #expect(Array(back[4096..<4096 + PageBuffer.capacity]) == pattern)
    #expect(back[4096 + PageBuffer.capacity] == 9)
  }

  @Test func `pages are read to the end of the file, from any of them, also where only bytes can be read`()
    throws
  {
    let temporary = try TemporaryDirectory("dfs-pages")
    for parent in [temporary.path, "/dev/shm"] {
      let path = "\(parent)/dfs-pages-\(UUID().uuidString)"
      defer { unlink(path) }
      let pattern = (0..<5 * 4096 + 100).map { UInt8(truncatingIfNeeded: $0 / 4096 &+ $0) }
      let file = try PosixFileSystem().open(path, .create)
      try pattern.withUnsafeBytes { try file.write($0, at: 0) }
      let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 8 * 4096, alignment: 4096)
      defer { space.deallocate() }
      for first in [0, 3, 5, 6] {
        let count = try file.readPages(into: space, at: first * 4096)
        #expect(
          space.prefix(count).elementsEqual(pattern.dropFirst(first * 4096)), "\(path), page \(first)")
        if first == 3 { file.endPages() }
      }
      // Not at a page: the ordinary way has to do.
      let odd = UnsafeMutableRawBufferPointer(rebasing: space[1...4096])
      #expect(try file.readPages(into: odd, at: 100) == 4096)
      #expect(odd.elementsEqual(pattern[100..<4196]))
    }
  }

  @Test func `a chunk takes a place in the page cache when it is read again, and keeps one descriptor`()
    throws
  {
    let temporary = try TemporaryDirectory("dfs-cache")
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    let chunk = TestChunk(5, length: (1 << 20) + 70_000)
    try chunk.write(to: store)
    let blocks = 0..<chunk.checksums.count
    do {
      let reader = try store.open(chunk.id, in: chunk.group)
      #expect(!reader.isReadAgain)
      try withUnsafeTemporaryAllocation(byteCount: chunk.bytes.count, alignment: 4096) { buffer in
        try reader.readUnchecked(blocks, into: buffer)
        #expect(buffer.elementsEqual(chunk.bytes))
      }
      // The last page may have been read as bytes, with what the kernel brings in around it.
      let region = try #require(reader.fileRegion(0..<8))
      if hasWayPastCache(temporary.path) { #expect(try cachedPages(of: region) == 0) }
    }
    #expect(try openDescriptors(below: temporary.path + "/data/chunks") == 1)
    let again = try store.open(chunk.id, in: chunk.group)
    #expect(again.isReadAgain)
    try again.prefetch(blocks)
    #expect(try cachedPages(of: try #require(again.fileRegion(0..<8))) == 8 * Block.size / 4096)
  }

  private func hasWayPastCache(_ directory: String) -> Bool {
    let descriptor = open("\(directory)/probe", O_CREAT | O_RDWR | __O_DIRECT, 0o600)
    defer { close(descriptor) }
    return descriptor >= 0 && !directory.hasPrefix("/dev/shm")
  }

  private func cachedPages(of region: ChunkFileRegion) throws -> Int {
    let mapped = try #require(
      mmap(nil, region.length, PROT_READ, MAP_SHARED, region.descriptor, off_t(region.offset)))
    try #require(mapped != MAP_FAILED)
    defer { munmap(mapped, region.length) }
    var pages = [UInt8](repeating: 0, count: region.length / 4096)
    try #require(mincore(mapped, region.length, &pages) == 0)
    return pages.count { $0 & 1 == 1 }
  }

  private func openDescriptors(below directory: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
      let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
      return target?.hasPrefix(directory) == true
    }
  }

  @Test func `a store opened again has its chunks, counts and bytes`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let chunks = [
      TestChunk(1, length: 3_000), TestChunk(2, group: 2, length: 400_000), TestChunk(3, length: 200_000),
    ]
    let before: (StoreCounts, ByteCount)
    do {
      let store = try StoreUnderTest.openDisk(temporary.path + "/data")
      for chunk in chunks { try chunk.write(to: store) }
      before = (store.counts(), try store.space().chunks)
      store.close()
    }
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    for chunk in chunks { #expect(try chunk.read(from: store) == chunk.bytes) }
    #expect(store.counts() == before.0)
    #expect(try store.space().chunks == before.1)
    #expect(store.openReport == OpenReport())
  }

  @Test func `a damaged store of small chunks is set aside, the files are served on`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let path = temporary.path + "/data"
    let (small, large) = (TestChunk(1, length: 3_000), TestChunk(2, length: 400_000))
    do {
      let store = try StoreUnderTest.openDisk(path)
      for inode in 10..<40 as Range<UInt64> { try TestChunk(inode, length: 2_000).write(to: store) }
      try small.write(to: store)
      try large.write(to: store)
      store.close()
    }
    let directory = URL(fileURLWithPath: path + "/small")
    let log = try #require(
      try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
        .first { $0.pathExtension == "log" })
    var bytes = try Data(contentsOf: log)
    bytes[bytes.count / 2] ^= 0x10
    try bytes.write(to: log)
    for number in 1...2 {
      let store = try StoreUnderTest.openDisk(path)
      #expect((store.openReport.setAside != nil) == (number == 1))
      #expect(try large.read(from: store) == large.bytes)
      if number == 1 {
        #expect(store.openReport.reason?.isEmpty == false)
        #expect(try store.stat(small.id, in: small.group) == nil)
        try small.write(to: store)
      }
      #expect(try small.read(from: store) == small.bytes)
      store.close()
    }
  }

  @Test func `a store of small chunks that is gone, or another directory's, is known as lost`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let paths = ["a", "b"].map { "\(temporary.path)/\($0)" }
    for path in paths {
      let store = try StoreUnderTest.openDisk(path)
      try TestChunk(1, length: 3_000).write(to: store)
      store.close()
    }
    func open(_ path: String) throws -> (report: OpenReport, lost: Bool) {
      let directory = try DataDirectory(path: path)
      let store = try LocalChunkStore(
        in: directory, options: LocalChunkStoreOptions(cache: RocksDBCache(capacity: .mib(4))))
      defer { store.close() }
      return (store.openReport, directory.hasLostChunks)
    }
    // A node that belongs to no cluster yet has nothing to lose.
    try FileManager.default.removeItem(atPath: paths[0] + "/small")
    #expect(try !open(paths[0]).lost)
    for path in paths { try DataDirectory(path: path).adopt(ClusterID(rawValue: 1)) }
    #expect(try !open(paths[0]).lost)
    try FileManager.default.removeItem(atPath: paths[0] + "/small")
    let gone = try open(paths[0])
    #expect(gone.lost && gone.report.reason != nil && gone.report.setAside == nil)
    try DataDirectory(path: paths[0]).forgetLostChunks()
    try FileManager.default.removeItem(atPath: paths[0] + "/small")
    try FileManager.default.copyItem(atPath: paths[1] + "/small", toPath: paths[0] + "/small")
    let foreign = try open(paths[0])
    #expect(foreign.lost && foreign.report.setAside != nil)
    // The chunks' own directory is missed, too.
    try FileManager.default.removeItem(atPath: paths[1] + "/chunks")
    #expect(try open(paths[1]).lost)
  }

  @Test func `deleted small chunks give their space back when enough has gathered`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    let chunks = (1...60).map { TestChunk(UInt64($0), length: 100_000) }
    for chunk in chunks { try chunk.write(to: store) }
    #expect(try store.compactIfNeeded() == .notNeeded)
    #expect(try store.delete(chunks.dropLast(5).map(\.id), in: chunks[0].group).count == 55)
    // What is in the memtable is no file yet: a compaction writes it first.
    try store.small.compactForTests()
    #expect(try store.small.deadBytes() < .mib(1))
    for chunk in chunks.suffix(5) { #expect(try chunk.read(from: store) == chunk.bytes) }
    #expect(try store.compactIfNeeded() == .notNeeded)
  }

  @Test func `a rotten small chunk stops the compaction, never the writers, and goes by quarantine`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let path = temporary.path + "/data"
    let chunks = (1...8).map { TestChunk(UInt64($0), length: 50_000) }
    let bad = chunks[3]
    do {
      let store = try StoreUnderTest.openDisk(path)
      for chunk in chunks { try chunk.write(to: store) }
      try store.small.compactForTests()
      store.close()
    }
    try flipByte(of: bad, inBlobsOf: path + "/small")
    let store = try StoreUnderTest.openDisk(path)
    defer { store.close() }
    #expect(store.openReport == OpenReport())
    expectError(.corrupt) { _ = try bad.read(from: store) }
    expectError(.corrupt) { _ = try store.verify(bad.id, in: bad.group) }
    #expect(throws: DFSError.self) { try store.small.compactForTests() }
    let more = TestChunk(100, length: 50_000)
    try more.write(to: store)
    #expect(try more.read(from: store) == more.bytes)
    try store.quarantine(bad.id, in: bad.group)
    #expect(store.counts().quarantined == 1)
    try bad.write(to: store)
    try store.small.compactForTests()
    for chunk in chunks + [more] { #expect(try chunk.read(from: store) == chunk.bytes) }
    guard case .writable = store.health else { return #expect(Bool(false), "one bad chunk is no bad disk") }
  }

  private func flipByte(of chunk: TestChunk, inBlobsOf directory: String) throws {
    let needle = Data(chunk.bytes[20_000..<20_400])
    for file in try FileManager.default.contentsOfDirectory(
      at: URL(fileURLWithPath: directory), includingPropertiesForKeys: nil)
    where file.pathExtension == "blob" {
      var bytes = try Data(contentsOf: file)
      guard let found = bytes.range(of: needle) else { continue }
      bytes[found.lowerBound] ^= 1
      try bytes.write(to: file)
      return
    }
    Issue.record("the chunk is in no blob file")
  }

  @Test func `sixteen writers share directory syncs and all succeed`() throws {
    let temporary = try TemporaryDirectory("dfs-chunks")
    let store = try StoreUnderTest.openDisk(temporary.path + "/data")
    defer { store.close() }
    DispatchQueue.concurrentPerform(iterations: 16) { thread in
      do {
        try TestChunk(UInt64(thread + 1), group: UInt32(thread % 2), length: 300_000).write(to: store)
      } catch {
        Issue.record(error)
      }
    }
    #expect(store.counts().chunks == 16)
  }
}

extension SmallChunks {
  func compactForTests() throws { _ = try compact() }
}
