import DFSChunkStore
import DFSCore
import DFSCrypto
import Foundation
import TestSupport
import Testing

/// What every chunk store must do, wherever its bytes are.
@Suite struct ChunkStoreConformanceTests {
  /// Around one block, around the limit between small chunks and files, and several MiB with a short end.
  static let lengths = [
    1, 4_096, Block.size - 1, Block.size, Block.size + 1, 256 << 10, (256 << 10) + 1, 1 << 20,
    (3 << 20) + 5_000,
  ]

  private func claimed(_ store: any ChunkStore) throws -> Int { try store.space().claimed.int }
  private func expectNothingClaimed(_ store: any ChunkStore) throws { #expect(try claimed(store) == 0) }

  @Test(arguments: StoreUnderTest.allCases) func `a chunk of any length comes back as it was`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      for (index, length) in Self.lengths.enumerated() {
        let chunk = TestChunk(UInt64(index + 1), length: length)
        let written = try chunk.write(to: store, step: index % 3 + 1, length: index % 2 == 0 ? length : nil)
        #expect(written.length == length && written.root == chunk.root && written.chunk == chunk.id)
        let reader = try store.open(chunk.id, in: chunk.group)
        #expect(reader.description == written)
        #expect(reader.checksums == chunk.checksums)
        #expect(reader.leaves == chunk.leaves)
        #expect(try reader.allBytes() == chunk.bytes)
        #expect(try store.stat(chunk.id, in: chunk.group) == written)
        #expect(try store.verify(chunk.id, in: chunk.group) == written)
      }
      #expect(store.counts().chunks == Self.lengths.count)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `any range of blocks can be read`(_ under: StoreUnderTest)
    throws
  {
    try under.withStore { store in
      for chunk in [TestChunk(1, length: 200_000), TestChunk(2, length: 1_000_000)] {
        try chunk.write(to: store)
        let reader = try store.open(chunk.id, in: chunk.group)
        let count = chunk.checksums.count
        for blocks in [0..<1, 1..<3, count - 1..<count, 0..<count] {
          let range = reader.bytes(of: blocks)
          try reader.prefetch(blocks)
          for read in [reader.read, reader.readUnchecked] {
            try withUnsafeTemporaryAllocation(byteCount: range.count, alignment: 4096) { buffer in
              buffer.initializeMemory(as: UInt8.self, repeating: 0)
              try read(blocks, buffer)
              #expect(buffer.elementsEqual(chunk.bytes[range]))
            }
          }
          if let region = reader.fileRegion(blocks) {
            #expect(region.length == range.count)
            var direct = [UInt8](repeating: 0, count: region.length)
            #expect(pread(region.descriptor, &direct, direct.count, off_t(region.offset)) == direct.count)
            #expect(direct == Array(chunk.bytes[range]))
          }
        }
        var few = [UInt8](repeating: 0, count: 10)
        expectError(.invalidArgument) { try few.withUnsafeMutableBytes { try reader.read(0..<1, into: $0) } }
        expectError(.invalidArgument) {
          try few.withUnsafeMutableBytes { try reader.read(count..<count + 1, into: $0) }
        }
      }
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `what is not there is not found`(_ under: StoreUnderTest)
    throws
  {
    try under.withStore { store in
      let chunk = TestChunk(7, length: 1_000)
      try chunk.write(to: store)
      let other = ChunkID(inode: InodeID(rawValue: 8), index: 0)
      for (id, group) in [(other, chunk.group), (chunk.id, GroupID(rawValue: 2))] {
        expectError(.notFound) { _ = try store.open(id, in: group) }
        expectError(.notFound) { _ = try store.verify(id, in: group) }
        #expect(try store.stat(id, in: group) == nil)
        #expect(try store.delete([id], in: group) == DeletedChunks())
        try store.quarantine(id, in: group)
      }
      #expect(store.counts().chunks == 1)
      #expect(store.counts().quarantined == 0)
    }
  }

  @Test(arguments: StoreUnderTest.allCases)
  func `the same content again is the same success, another is refused`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      for length in [5_000, 600_000] {
        let chunk = TestChunk(UInt64(length), length: length)
        let first = try chunk.write(to: store)
        #expect(try chunk.write(to: store) == first)
        for other in [
          TestChunk(UInt64(length), length: length, seed: 9),
          TestChunk(UInt64(length), length: 605_000 - length),
        ] {
          expectError(.alreadyExists) { try other.write(to: store) }
        }
        #expect(try chunk.read(from: store) == chunk.bytes)
      }
      #expect(store.counts().chunks == 2)
      #expect(try claimed(store) == 0)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `nothing is visible before finish, or after abort`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      for length in [70_000, 700_000] {
        let chunk = TestChunk(UInt64(length), length: length)
        let writer = try store.begin(chunk.plan)
        try chunk.append(0..<1, to: writer)
        #expect(try store.space().claimed > .zero)
        #expect(try store.stat(chunk.id, in: chunk.group) == nil)
        writer.abort()
        writer.abort()
        #expect(try claimed(store) == 0)
        expectError(.failedPrecondition) { try chunk.append(1..<2, to: writer) }
        expectError(.failedPrecondition) { _ = try writer.finish(length: length, root: chunk.root) }
        #expect(try store.stat(chunk.id, in: chunk.group) == nil)
        // A dropped writer gives its claim back as well.
        _ = try store.begin(chunk.plan)
        #expect(try claimed(store) == 0)
      }
      #expect(store.counts().chunks == 0)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `a damaged or misshapen piece is refused`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      let chunk = TestChunk(1, length: 400_000)
      var damaged = chunk
      damaged.bytes[300_000] ^= 1
      expectError(.corrupt) { try damaged.write(to: store) }

      func piece(_ payload: [UInt8], _ checksums: [UInt32], leaves: Int, after blocks: Int = 0) throws {
        let writer = try store.begin(chunk.plan)
        if blocks > 0 { try chunk.append(0..<blocks, to: writer) }
        try payload.withUnsafeBytes { payload in
          try [UInt8](repeating: 0, count: leaves * 32).withUnsafeBytes {
            try writer.append(payload, checksums: checksums, leaves: $0)
          }
        }
      }
      let block = Array(chunk.bytes[..<Block.size])
      expectError(.invalidArgument) { try piece([], [], leaves: 0) }
      expectError(.invalidArgument) { try piece(block, [], leaves: 1) }
      expectError(.invalidArgument) { try piece(block, [chunk.checksums[0]], leaves: 2) }
      expectError(.invalidArgument) { try piece(block, [chunk.checksums[0], 0], leaves: 1) }
      // After a short block nothing may follow.
      expectError(.invalidArgument) {
        try piece(block, [chunk.checksums[0]], leaves: 1, after: chunk.checksums.count)
      }
      try expectNothingClaimed(store)
      #expect(store.counts().chunks == 0)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `a wrong length, root or plan is refused`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      for length in [100_000, 400_000] {
        let chunk = TestChunk(UInt64(length), length: length)
        func finish(length: Int, root: Digest) throws {
          let writer = try store.begin(chunk.plan)
          try chunk.append(0..<chunk.checksums.count, to: writer)
          _ = try writer.finish(length: length, root: root)
        }
        expectError(.invalidArgument) { try finish(length: length - 1, root: chunk.root) }
        expectError(.invalidArgument) { try finish(length: length, root: MerkleTree.emptyRoot) }
        expectError(.invalidArgument) { try chunk.write(to: store, length: length + 1) }
        expectError(.invalidArgument) { try chunk.write(to: store, length: length - 1) }
      }
      let id = ChunkID(inode: InodeID(rawValue: 1), index: 0)
      for (largest, length) in [(0, nil), ((64 << 20) + 1, nil), (100, 101), (100, 0)] as [(Int, Int?)] {
        expectError(.invalidArgument) {
          _ = try store.begin(
            ChunkPlan(chunk: id, group: GroupID(rawValue: 1), largestLength: largest, length: length))
        }
      }
      let empty = try store.begin(ChunkPlan(chunk: id, group: GroupID(rawValue: 1), largestLength: 100))
      expectError(.invalidArgument) { _ = try empty.finish(length: 0, root: MerkleTree.emptyRoot) }
      #expect(store.counts().chunks == 0)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `an inventory is in order, in pages, of one group`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      var expected: [ChunkID] = []
      for inode in [3, 0x1_0000_0000, 1, 0xFFFF_0000_0000_0001, 2] as [UInt64] {
        for index in [0, 300, 7] as [UInt32] {
          let chunk = TestChunk(inode, index, group: 5, length: index == 7 ? 300_000 : 2_000)
          try chunk.write(to: store)
          expected.append(chunk.id)
        }
      }
      try TestChunk(1, group: 4, length: 100).write(to: store)
      try TestChunk(9, group: 6, length: 300_000).write(to: store)
      expected.sort()
      let group = GroupID(rawValue: 5)
      for limit in [1, 2, 7, 15, 100] {
        var found: [ChunkID] = []
        while true {
          let page = try store.list(group, after: found.last, limit: limit)
          #expect(page.chunks.count <= limit)
          found += page.chunks.map(\.chunk)
          if !page.more { break }
        }
        #expect(found == expected, "pages of \(limit)")
      }
      let first = try #require(try store.list(group, after: nil, limit: 1).chunks.first)
      #expect(try store.stat(first.chunk, in: group) == first)
      #expect(try store.groups().map(\.rawValue) == [4, 5, 6])
      #expect(
        try store.list(GroupID(rawValue: 77), after: nil, limit: 10) == ChunkPage(chunks: [], more: false))
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `a deleted chunk is gone, its open readers read on`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      let chunks = [
        TestChunk(1, length: 10_000), TestChunk(2, length: 500_000), TestChunk(3, length: 10_000),
      ]
      for chunk in chunks { try chunk.write(to: store) }
      let readers = try chunks.map { try store.open($0.id, in: $0.group) }
      let group = chunks[0].group
      let deleted = try store.delete(
        [chunks[0].id, chunks[1].id, ChunkID(inode: InodeID(rawValue: 99), index: 0)], in: group)
      #expect(deleted.count == 2)
      #expect(deleted.bytes > ByteCount(510_000))
      #expect(try store.delete([chunks[0].id], in: group).count == 0)
      #expect(try store.list(group, after: nil, limit: 10).chunks.map(\.chunk) == [chunks[2].id])
      expectError(.notFound) { _ = try store.open(chunks[1].id, in: group) }
      for (reader, chunk) in zip(readers, chunks) { #expect(try reader.allBytes() == chunk.bytes) }
      #expect(store.counts().chunks == 1)
      #expect(try store.space().chunks == readers[2].description.storedBytes)
      // The id is free again: repair may bring a chunk back to a node that deleted it as surplus.
      try chunks[1].write(to: store)
      #expect(try chunks[1].read(from: store) == chunks[1].bytes)
    }
  }

  @Test(arguments: StoreUnderTest.allCases)
  func `a quarantined chunk is counted, not found, and can be written again`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      for (count, length) in [9_000, 900_000].enumerated() {
        let chunk = TestChunk(UInt64(length), length: length)
        try chunk.write(to: store)
        try store.quarantine(chunk.id, in: chunk.group)
        #expect(store.counts().quarantined == count + 1)
        #expect(store.counts().chunks == count)
        expectError(.notFound) { _ = try store.open(chunk.id, in: chunk.group) }
        try chunk.write(to: store)
        #expect(try chunk.read(from: store) == chunk.bytes)
      }
      for length in [9_000, 900_000] {
        let deleted = try store.delete(
          [TestChunk(UInt64(length), length: length).id], in: GroupID(rawValue: 1))
        #expect(deleted.count == 1)
      }
      #expect(store.counts() == StoreCounts())
      #expect(try store.space().chunks == .zero)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `many threads write, read and delete at once`(
    _ under: StoreUnderTest
  ) throws {
    try under.withStore { store in
      DispatchQueue.concurrentPerform(iterations: 8) { thread in
        do {
          for step in 0..<6 {
            let chunk = TestChunk(
              UInt64(thread * 100 + step), group: UInt32(step % 2), length: step % 3 == 0 ? 300_000 : 3_000)
            try chunk.write(to: store)
            let same = TestChunk(7_777, group: 3, length: step % 2 == 0 ? 300_000 : 300_000)
            try same.write(to: store)
            #expect(try chunk.read(from: store) == chunk.bytes)
            if step % 2 == 0 { #expect(try store.delete([chunk.id], in: chunk.group).count == 1) }
          }
        } catch { Issue.record(error) }
      }
      #expect(store.counts().chunks == 8 * 3 + 1)
      try expectNothingClaimed(store)
    }
  }

  @Test(arguments: StoreUnderTest.allCases) func `a closed store answers unavailable`(_ under: StoreUnderTest)
    throws
  {
    try under.withStore { store in
      let chunk = TestChunk(1, length: 300_000)
      let writer = try store.begin(chunk.plan)
      store.close()
      expectError(.unavailable) { try chunk.append(0..<1, to: writer) }
      expectError(.unavailable) { _ = try store.begin(chunk.plan) }
      expectError(.unavailable) { _ = try store.open(chunk.id, in: chunk.group) }
      expectError(.unavailable) { _ = try store.list(chunk.group, after: nil, limit: 1) }
      expectError(.unavailable) { _ = try store.delete([chunk.id], in: chunk.group) }
      expectError(.unavailable) { _ = try store.space() }
    }
  }

  @Test(arguments: StoreUnderTest.allCases)
  func `what is sound at the second look stays`(_ under: StoreUnderTest) throws {
    try under.withStore { store in
      for chunk in [TestChunk(1, length: 300_000), TestChunk(2, length: 3_000)] {
        let stranger = TestChunk(3, length: 10)
        try chunk.write(to: store)
        #expect(try !store.quarantineUnlessSound(chunk.id, in: chunk.group))
        #expect(try !store.quarantineUnlessSound(stranger.id, in: stranger.group))
        #expect(try chunk.read(from: store) == chunk.bytes)
        #expect(try store.confirm(chunk.id, in: chunk.group)?.root == chunk.root)
        #expect(try store.confirm(stranger.id, in: stranger.group) == nil)
      }
      #expect(store.counts().quarantined == 0)
    }
  }
}
