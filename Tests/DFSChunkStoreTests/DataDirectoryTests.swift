import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSChunkStore

@Suite struct DataDirectoryTests {
  @Test func `an empty directory is formatted once and keeps its identity`() throws {
    let disk = MemoryFileSystem()
    let first = try DataDirectory(path: "/data", fileSystem: disk).identity
    let again = try DataDirectory(path: "/data", fileSystem: disk).identity
    #expect(first == again)
    #expect(first.cluster == nil)
    #expect(try DataDirectory(path: "/other", fileSystem: disk).identity != first)
  }

  @Test func `a second process is kept out while the first lives`() throws {
    let temporary = try TemporaryDirectory("dfs-data")
    let path = temporary.path + "/data"
    do {
      let directory = try DataDirectory(path: path)
      expectError(.unavailable) { _ = try DataDirectory(path: path) }
      withExtendedLifetime(directory) {}
    }
    _ = try DataDirectory(path: path)
  }

  @Test func `a directory with something else in it is refused and left alone`() throws {
    let temporary = try TemporaryDirectory("dfs-data")
    try Data("mine".utf8).write(to: URL(fileURLWithPath: temporary.path + "/thesis.txt"))
    expectError(.failedPrecondition) { _ = try DataDirectory(path: temporary.path) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: temporary.path) == ["thesis.txt"])
  }

  @Test func `a fresh file system with lost+found can be used`() throws {
    let disk = MemoryFileSystem()
    try disk.makeDirectory("/data")
    try disk.makeDirectory("/data/lost+found")
    _ = try DataDirectory(path: "/data", fileSystem: disk)
  }

  @Test func `a directory belongs to one cluster for ever`() throws {
    let disk = MemoryFileSystem()
    do {
      let directory = try DataDirectory(path: "/data", fileSystem: disk)
      try directory.adopt(ClusterID(rawValue: 1))
      try directory.adopt(ClusterID(rawValue: 1))
      expectError(.failedPrecondition) { try directory.adopt(ClusterID(rawValue: 2)) }
    }
    #expect(try DataDirectory(path: "/data", fileSystem: disk).identity.cluster == ClusterID(rawValue: 1))
  }

  @Test func `a coordinator that went backwards is refused, before and after a restart`() throws {
    let disk = MemoryFileSystem()
    func mark(_ incarnation: UInt16, _ term: UInt64, _ revision: UInt64) -> CoordinatorMark {
      CoordinatorMark(
        epoch: Epoch(incarnation: incarnation, term: term), revision: Revision(rawValue: revision))
    }
    for _ in 0..<2 {
      let directory = try DataDirectory(path: "/data", fileSystem: disk)
      try directory.raise(to: mark(1, 5, 100))
      try directory.raise(to: mark(1, 5, 100))
      expectError(.stale) { try directory.raise(to: mark(1, 4, 200)) }
      expectError(.stale) { try directory.raise(to: mark(1, 5, 99)) }
      expectError(.stale) { try directory.raise(to: mark(0, 9, 999)) }
      #expect(directory.mark == mark(1, 5, 100))
    }
    try DataDirectory(path: "/data", fileSystem: disk).raise(to: mark(2, 0, 0))
  }

  @Test func `group epochs only rise and survive a restart`() throws {
    let disk = MemoryFileSystem()
    let group = GroupID(rawValue: 3)
    try DataDirectory(path: "/data", fileSystem: disk).raise([group: GroupEpoch(rawValue: 8)])
    let directory = try DataDirectory(path: "/data", fileSystem: disk)
    try directory.raise([group: GroupEpoch(rawValue: 5), GroupID(rawValue: 4): GroupEpoch(rawValue: 1)])
    #expect(directory.epoch(of: group) == GroupEpoch(rawValue: 8))
    #expect(directory.epoch(of: GroupID(rawValue: 4)) == GroupEpoch(rawValue: 1))
    #expect(directory.epoch(of: GroupID(rawValue: 5)) == GroupEpoch(rawValue: 0))
  }

  @Test func `a raise that is not on disk is not seen`() throws {
    let disk = MemoryFileSystem()
    let directory = try DataDirectory(path: "/data", fileSystem: disk)
    disk.setHook { $0.operation == .sync ? .fail(DFSError(.outcomeUnknown, "no sync")) : .proceed }
    let mark = CoordinatorMark(epoch: Epoch(incarnation: 0, term: 1), revision: .zero)
    expectError(.outcomeUnknown) { try directory.raise(to: mark) }
    #expect(directory.mark == .zero)
  }

  @Test func `a newer format is refused with advice, a flipped byte anywhere is corrupt`() throws {
    let disk = MemoryFileSystem()
    _ = try DataDirectory(path: "/data", fileSystem: disk)
    let length = try disk.contents(of: "/data/identity").count
    for offset in 0..<length {
      try disk.flip("/data/identity", at: offset)
      expectError(.corrupt) { _ = try DataDirectory(path: "/data", fileSystem: disk) }
      try disk.flip("/data/identity", at: offset)
    }
    let newer = SealedRecord(tag: "dfsnode ", version: 2).seal([1, 2, 3])
    try disk.replace("identity", in: "/data", with: newer)
    expectError(.failedPrecondition) { _ = try DataDirectory(path: "/data", fileSystem: disk) }
  }

  @Test func `records of random bytes throw, they never crash`() throws {
    var generator = SeededGenerator()
    let record = SealedRecord(tag: "dfsnode ", version: 1)
    for _ in 0..<5_000 {
      var bytes = generator.bytes(Int.random(in: 0...80, using: &generator))
      if Bool.random(using: &generator) { bytes = Array("dfsnode ".utf8) + bytes }
      #expect(throws: DFSError.self, "seed \(generator.seed)") {
        try record.open(bytes, name: "noise") { try $0.number(UInt64.self) }
      }
    }
  }

  @Test func `the scrub's place and the loss of chunks outlive a restart; a damaged place is a new beginning`()
    throws
  {
    let disk = MemoryFileSystem()
    var record = ScrubRecord()
    #expect(try DataDirectory(path: "/data", fileSystem: disk).scrubRecord() == record)
    record.beganAt = 12
    record.endedAt = 7
    record.cursor = ChunkPlace(
      chunk: ChunkID(inode: InodeID(rawValue: .max), index: 3), group: GroupID(rawValue: 9))
    (record.done, record.bad, record.isHurried) = (100, 2, true)
    do {
      let directory = try DataDirectory(path: "/data", fileSystem: disk)
      try directory.save(record)
      try directory.noteLostChunks()
      #expect(directory.hasLostChunks)
    }
    do {
      let directory = try DataDirectory(path: "/data", fileSystem: disk.afterCrash())
      #expect(try directory.scrubRecord() == record)
      #expect(directory.hasLostChunks)
      try directory.forgetLostChunks()
      #expect(!directory.hasLostChunks)
    }
    try disk.flip("/data/scrub", at: 20)
    #expect(try DataDirectory(path: "/data", fileSystem: disk).scrubRecord() == ScrubRecord())
  }
}
