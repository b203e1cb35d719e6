import DFSCore

/// Rights of this leader's memory that end at a time: upload leases, or pins. What the table does not know
/// has the deadline of the start: taking leadership gives everything its full time again.
struct DeadlineTable: Sendable {
  private var deadlines: [InodeID: ClusterTime] = [:]
  private let length: Duration
  private let first: ClusterTime

  init(length: Duration, start: ClusterTime) {
    self.length = length
    first = start + length
  }

  var count: Int { deadlines.count }
  func isKnown(_ inode: InodeID) -> Bool { deadlines[inode] != nil }

  /// Starts it, or restarts it in full.
  mutating func renew(_ inode: InodeID, now: ClusterTime) { deadlines[inode] = now + length }
  mutating func remove(_ inode: InodeID) { deadlines[inode] = nil }

  /// Whether the right of `inode` is over.
  func isOver(_ inode: InodeID, now: ClusterTime) -> Bool { now >= max(first, deadlines[inode] ?? first) }

  /// Known ones that are over, at most `limit`.
  func over(limit: Int, now: ClusterTime) -> [InodeID] {
    guard now >= first else { return [] }
    return Array(deadlines.lazy.filter { now >= $0.value }.prefix(limit).map(\.key))
  }

  /// Forgets what is over.
  mutating func trim(now: ClusterTime) {
    deadlines = deadlines.filter { now < $0.value }
  }
}
