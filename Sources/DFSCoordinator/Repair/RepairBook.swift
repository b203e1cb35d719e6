package import DFSCore

/// What repair has done and what it still has to do, as far as it has counted: the numbers of `status`. Of
/// this coordinator's life; what must be repaired is in the slots' states alone.
package struct RepairBook: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// What is left in one group.
  package struct Left: Sendable, Hashable {
    package var chunks: UInt64 = 0
    package var bytes: UInt64 = 0

    package init(chunks: UInt64 = 0, bytes: UInt64 = 0) {
      self.chunks = chunks
      self.bytes = bytes
    }
  }

  private struct Lost: Sendable {
    var count: UInt64
    var named: [ChunkID]
    /// When somebody looked for them last, and who was there then.
    var lookedAt: Instant?
    var membership: UInt64?
  }

  /// Most lost chunks of one group that are named.
  package static let mostNamed = 1000

  package private(set) var repairedChunks: UInt64 = 0
  package private(set) var repairedBytes: UInt64 = 0
  private var left: [GroupID: Left] = [:]
  private var lost: [GroupID: Lost] = [:]
  private var meter = CopyRate()

  package init() {}

  /// A replica was made; zero bytes when it was there already.
  package mutating func copied(chunks: UInt64, bytes: UInt64, of group: GroupID, now: Instant) {
    if bytes > 0 {
      repairedChunks += chunks
      repairedBytes += bytes
      meter.add(bytes, now: now)
    }
    guard let before = left[group] else { return }
    left[group] = Left(
      chunks: before.chunks - min(chunks, before.chunks), bytes: before.bytes - min(bytes, before.bytes))
  }

  package mutating func counted(_ amount: Left, of group: GroupID) { left[group] = amount }

  /// Nothing of the group is left to repair.
  package mutating func finished(_ group: GroupID) { left[group] = nil }

  package func left(of group: GroupID) -> Left? { left[group] }

  /// Living chunks that no node has any more, as the last whole pass over the group found them; they stay
  /// where they are in the metadata, and here until a pass finds them again.
  package mutating func lost(_ chunks: [ChunkID], of group: GroupID) {
    lost[group] =
      chunks.isEmpty
      ? nil : Lost(count: UInt64(chunks.count), named: Array(chunks.prefix(Self.mostNamed)))
  }

  /// Lost chunks that are worth another look: nodes came or went since the last one.
  package mutating func takeLost(
    _ limit: Int, membership: UInt64, every interval: Duration, now: Instant
  ) -> [GroupID: [ChunkID]] {
    let due = lost.filter { _, lost in
      lost.membership != membership && lost.lookedAt.map { now - $0 >= interval } ?? true
    }.keys.sorted().prefix(limit)
    for group in due {
      lost[group]?.lookedAt = now
      lost[group]?.membership = membership
    }
    return due.reduce(into: [:]) { $0[$1] = lost[$1]?.named }
  }

  package var lostChunks: UInt64 { lost.values.reduce(0) { $0 + $1.count } }
  package func lostChunks(of group: GroupID) -> [ChunkID] { lost[group]?.named ?? [] }
  /// Some of them, in order of group.
  package func lostNamed(_ limit: Int) -> [ChunkID] {
    Array(lost.sorted { $0.key < $1.key }.lazy.flatMap(\.value.named).prefix(limit))
  }
  package func bytesPerSecond(now: Instant) -> UInt64 { meter.perSecond(now: now) }
}

/// Something per second over the last ten of them.
package struct CopyRate: Sendable {
  package typealias Instant = ContinuousClock.Instant
  private static let span = 10

  private var start: Instant?
  private var seconds: [(second: Int64, amount: UInt64)] = []

  package init() {}

  package mutating func add(_ amount: UInt64, now: Instant) {
    let start = start ?? now
    self.start = start
    let second = (now - start).components.seconds
    if let last = seconds.last, last.second == second {
      seconds[seconds.count - 1].amount += amount
    } else {
      seconds.append((second, amount))
      seconds.removeFirst(max(0, seconds.count - Self.span))
    }
  }

  package func perSecond(now: Instant) -> UInt64 {
    guard let start else { return 0 }
    let second = (now - start).components.seconds
    let recent = seconds.filter { second - $0.second < Int64(Self.span) }
    guard let first = recent.first else { return 0 }
    return recent.reduce(0) { $0 + $1.amount } / UInt64(max(1, second - first.second + 1))
  }
}

/// Repair at one moment, for `status`.
package struct RepairStatus: Sendable, Hashable {
  /// Groups with a slot that is filling or behind.
  package var groups = 0
  /// Copies still to be made, as far as they are counted, and their bytes.
  package var chunksLeft: UInt64 = 0
  package var bytesLeft: UInt64 = 0
  package var bytesPerSecond: UInt64 = 0
  /// Until nothing is left at the present rate; `nil` while nothing moves.
  package var timeLeft: Duration?
  /// Since the coordinator started.
  package var repairedChunks: UInt64 = 0
  package var repairedBytes: UInt64 = 0
  /// Living chunks that no node in contact has, and some of their names.
  package var lostChunks: UInt64 = 0
  package var lostNamed: [ChunkID] = []

  /// `meanChunk` stands for the length of chunks that nobody has looked at yet.
  package init(_ state: Cluster.State, meanChunk: UInt64, now: ContinuousClock.Instant) {
    let book = state.repair
    groups = state.table.unfinished.count
    for group in state.table.unfinished {
      let left: RepairBook.Left
      if let known = book.left(of: group) {
        left = known
      } else {
        // A member that is behind misses little; one that is filling may miss everything.
        let filling = state.table[group]?.slots.count { $0.state == .filling } ?? 0
        let chunks = (state.chunkCounts[group] ?? 0) * UInt64(filling)
        left = RepairBook.Left(chunks: chunks, bytes: chunks * meanChunk)
      }
      chunksLeft += left.chunks
      bytesLeft += left.bytes
    }
    bytesPerSecond = book.bytesPerSecond(now: now)
    if bytesLeft > 0, bytesPerSecond > 0 {
      timeLeft = .seconds(Double(bytesLeft) / Double(bytesPerSecond))
    }
    repairedChunks = book.repairedChunks
    repairedBytes = book.repairedBytes
    lostChunks = book.lostChunks
    lostNamed = book.lostNamed(20)
  }
}

extension Cluster {
  package func repairStatus(meanChunk: UInt64, now: ContinuousClock.Instant) -> RepairStatus {
    withState { RepairStatus($0, meanChunk: meanChunk, now: now) }
  }
}
