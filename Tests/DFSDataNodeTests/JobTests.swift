import DFSChunkStore
import DFSCore
import DFSTransport
import Logging
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSDataNode

extension NodeClock {
  /// A manual clock's time, counted from `start`.
  static func manual(_ clock: ManualClock, from start: ContinuousClock.Instant = .now) -> NodeClock {
    NodeClock(
      now: { start.advanced(by: clock.now.offset) },
      sleep: { try await clock.sleep(until: clock.now.advanced(by: $0), tolerance: nil) })
  }
}

@Suite(.timeLimit(.minutes(1))) struct JobTests {
  @Test func `pauses grow to a limit, never regular, and begin anew after a success`() {
    var random = SeededGenerator()
    var backoff = Backoff(first: .milliseconds(100), longest: .seconds(3))
    var step = Duration.milliseconds(100)
    for _ in 0..<20 {
      let pause = backoff.pause(using: &random)
      #expect(pause >= step / 2 && pause <= step, "seed \(random.seed)")
      step = min(step * 2, .seconds(3))
    }
    backoff.reset()
    #expect(backoff.pause(using: &random) <= .milliseconds(100))
  }

  @Test func `bad replicas are told in order, each once, until they were answered for`() {
    var reports = OrderedReports()
    let chunks = (0..<4).map { ChunkID(inode: InodeID(rawValue: 1), index: $0) }
    for chunk in chunks + chunks { reports.add(chunk, in: GroupID(rawValue: 2)) }
    #expect(reports.first(3).map(\.0) == Array(chunks.prefix(3)))
    reports.removeFirst(3)
    #expect(reports.first(10).map(\.0) == [chunks[3]])
    reports.add(chunks[0], in: GroupID(rawValue: 2))
    #expect(reports.first(10).map(\.0) == [chunks[3], chunks[0]])
    reports.removeFirst(99)
    #expect(reports.first(10).isEmpty)
  }

  @Test func `more bad replicas than are told one by one are told as a whole, and once`() throws {
    let temporary = try TemporaryDirectory()
    let directory = try DataDirectory(path: "\(temporary.path)/node")
    let membership = Membership(directory)
    func report(_ count: UInt32) {
      for index in 0..<count {
        membership.report(ChunkID(inode: InodeID(rawValue: 1), index: index), in: GroupID(rawValue: 2))
      }
    }
    report(100_000)
    #expect(!membership.hasTooManyReports && !membership.tellLostChunks())
    report(100_001)
    #expect(membership.hasTooManyReports)
    #expect(membership.tellLostChunks())
    #expect(!membership.hasTooManyReports && membership.pendingReports().isEmpty)
    // The registration was not answered.
    #expect(membership.tellLostChunks())
    try membership.forgetLostChunks()
    #expect(!membership.tellLostChunks())
  }

  @Test func `a disk that is full, failed, silent or not measured takes no writes`() throws {
    let directory = try TemporaryDirectory()
    let store = try LocalChunkStore(
      in: DataDirectory(path: "\(directory.path)/node"), options: LocalChunkStoreOptions(cacheSize: .mib(4)))
    defer { store.close() }
    let job = SpaceJob(store: store, disk: BlockingThreads(count: 1, name: "test"), clock: .continuous)
    let now = ContinuousClock.now
    var report = SpaceJob.Report()
    #expect(job.refusal(of: report, now: now) == "the disk was not measured yet")
    report.measuredAt = now
    report.space.free = .gib(2)
    report.space.reserve = .gib(1)
    #expect(job.refusal(of: report, now: now) == nil)
    #expect(job.refusal(of: report, now: now.advanced(by: .seconds(11))) == "the disk does not answer")
    report.space.claimed = .gib(1)
    #expect(job.refusal(of: report, now: now) == "the disk is full")
    report.health = .failed(DFSError(.unavailable, "a sync failed"))
    #expect(job.refusal(of: report, now: now) == "a sync failed")
  }
}
