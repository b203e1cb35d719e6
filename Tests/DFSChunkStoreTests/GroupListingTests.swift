import DFSCore
import TestSupport
import Testing

@testable import DFSChunkStore

/// Inventories in pages.
@Suite struct GroupListingTests {
  private let group = GroupID(rawValue: 1)

  private func id(_ inode: Int) -> ChunkID { ChunkID(inode: InodeID(rawValue: UInt64(inode)), index: 0) }

  @Test func `a directory is read once for all pages, and not kept after the last`() throws {
    let listings = GroupListings()
    let all = (0..<100).map(id)
    var reads = 0
    var found: [ChunkID] = []
    while true {
      let page = try listings.page(of: group, after: found.last, limit: 7) {
        reads += 1
        return all.shuffled()
      }
      found += page.chunks
      if page.isLast { break }
    }
    #expect(found == all)
    #expect(reads == 1)
    #expect(listings.count == 0)
  }

  @Test func `pages follow what is published and removed, also while the directory is read`() throws {
    var random = SeededGenerator()
    for _ in 0..<200 {
      let listings = GroupListings()
      var there = Set((0..<40).filter { _ in Bool.random(using: &random) }.map(id))
      func change() {
        let chunk = id(Int.random(in: 0..<40, using: &random))
        if there.remove(chunk) == nil { there.insert(chunk) }
        listings.note(chunk, in: group, isThere: there.contains(chunk))
        listings.note(chunk, in: GroupID(rawValue: 2), isThere: true)
      }
      var cursor: ChunkID?
      while true {
        let page = try listings.page(of: group, after: cursor, limit: 5) {
          let read = Array(there)
          for _ in 0..<3 { change() }
          return read
        }
        let expected = there.filter { chunk in cursor.map { chunk > $0 } ?? true }.sorted().prefix(5)
        #expect(page.chunks == Array(expected), "seed \(random.seed)")
        guard !page.isLast, let last = page.chunks.last else { break }
        cursor = last
        change()
      }
    }
  }

  @Test func `what is kept is bounded`() throws {
    let listings = GroupListings(capacity: 100)
    for number in 0..<10 as Range<UInt32> {
      _ = try listings.page(of: GroupID(rawValue: number), after: nil, limit: 1) { (0..<40).map(id) }
      #expect(listings.count <= 100)
    }
    let large = try listings.page(of: group, after: nil, limit: 1) { (0..<101).map(id) }
    #expect(large.chunks == [id(0)] && !large.isLast)
    #expect(listings.count <= 100)
  }

  @Test func `a page opens its own files only`() throws {
    let machine = MemoryMachine()
    do {
      let store = try machine.open()
      for inode in 1...30 as ClosedRange<UInt64> {
        try TestChunk(inode, length: inode % 2 == 0 ? 270_000 : 10).write(to: store)
      }
      store.close()
    }
    let fresh = try machine.open()
    _ = try fresh.list(group, after: nil, limit: 4)
    let calls = machine.disk.calls
    let page = try fresh.list(group, after: id(4), limit: 4)
    #expect(page.chunks.map(\.chunk) == (5...8).map(id) && page.more)
    // Two files: open, length and one read each.
    #expect(machine.disk.calls - calls == 6)
  }

  @Test func `files that vanish while pages are taken are told of, and the walk goes on behind them`() throws {
    let machine = MemoryMachine()
    do {
      let store = try machine.open()
      for inode in 1...9 as ClosedRange<UInt64> { try TestChunk(inode, length: 270_000).write(to: store) }
      store.close()
    }
    let fresh = try machine.open()
    #expect(try fresh.list(group, after: nil, limit: 2).chunks.map(\.chunk) == [id(1), id(2)])
    for inode in 3...5 {
      try machine.disk.remove("/data/chunks/\(ChunkFileName.name(group))/\(ChunkFileName.name(id(inode)))")
    }
    let empty = try fresh.list(group, after: id(2), limit: 2)
    #expect(empty.chunks.isEmpty && empty.more)
    #expect(empty.vanished == [id(3), id(4)] && empty.last == id(4))
    let next = try fresh.list(group, after: empty.last, limit: 2)
    #expect(next.chunks.map(\.chunk) == [id(6)] && next.vanished == [id(5)])
    // A second walk from the same place does not meet them again.
    let again = try fresh.list(group, after: id(2), limit: 2)
    #expect(again.chunks.map(\.chunk) == [id(6), id(7)] && again.vanished.isEmpty)
  }

  @Test func `a file that is too short for any chunk is moved aside at the start, and told of`() throws {
    let machine = MemoryMachine()
    let (short, whole) = (TestChunk(1, length: 300_000), TestChunk(2, length: 300_000))
    do {
      let store = try machine.open()
      for chunk in [short, whole] { try chunk.write(to: store) }
      store.close()
    }
    let path = "/data/chunks/\(ChunkFileName.name(group))/\(ChunkFileName.name(short.id))"
    try machine.disk.truncate(path, to: 0)
    let store = try machine.open()
    #expect(store.openReport.damaged == [ChunkPlace(chunk: short.id, group: group)])
    #expect(store.counts().quarantined == 1 && store.counts().chunks == 1)
    #expect(try store.stat(short.id, in: group) == nil)
    try short.write(to: store)
    #expect(try short.read(from: store) == short.bytes)
  }
}
