import DFSCore

/// What this client itself lately saw of the datanodes. A node that failed is asked last for a while, so that
/// only one chunk pays for finding out; it is never written off, because whom the coordinator calls a member
/// may be the only one left.
struct PeerHealth: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// A node with a full disk refuses writes and serves reads.
  enum Purpose: Hashable, Sendable { case read, write }

  private struct Record {
    var failures: Int
    var avoidUntil: Instant
  }
  private struct Key: Hashable {
    var node: NodeID
    var purpose: Purpose
  }

  static let shortest: Duration = .seconds(5)
  static let longest: Duration = .seconds(40)
  private var records: [Key: Record] = [:]

  /// The first failure is held against a node for 5 s, each further one for twice as long, up to 40 s.
  mutating func failed(_ node: NodeID, _ purpose: Purpose, now: Instant) {
    let key = Key(node: node, purpose: purpose)
    let failures = (records[key]?.failures ?? 0) + 1
    let hold = min(Self.longest, Self.shortest * (1 << min(failures - 1, 8)))
    records[key] = Record(failures: failures, avoidUntil: now + hold)
  }

  mutating func succeeded(_ node: NodeID, _ purpose: Purpose) {
    records[Key(node: node, purpose: purpose)] = nil
  }

  func isSuspect(_ node: NodeID, _ purpose: Purpose, now: Instant) -> Bool {
    guard let record = records[Key(node: node, purpose: purpose)] else { return false }
    return now < record.avoidUntil
  }
}
