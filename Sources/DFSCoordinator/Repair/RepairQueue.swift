import DFSCore
import DFSMetadata

/// Which group is repaired next: the one with the fewest full members in contact; a bounded number at a time,
/// in all and for each node that gets copies. Groups that failed wait, longer each time. A value with
/// injected time.
struct RepairQueue: Sendable {
  typealias Instant = ContinuousClock.Instant

  struct Limits: Sendable {
    var groups = 16
    var mostGroups = 64
    var groupsPerTarget = 3
    var firstRetry = Duration.seconds(1)
    /// Two nodes that can not reach each other are not seen to be back: nothing but the time limits this.
    var longestRetry = Duration.seconds(15)
  }

  struct Entry: Sendable, Hashable {
    var group: GroupID
    /// Full members in contact.
    var copies: Int
    var targets: Set<NodeID>
  }

  private struct Retry: Sendable {
    var failures: Int
    var at: Instant
    /// A node that came or went may change the outcome, so then it is tried again after this.
    var soonest: Instant
    var membership: UInt64
  }

  var limits: Limits
  /// Those with the fewest copies first.
  private var waiting: [Entry] = []
  private var running: [GroupID: Set<NodeID>] = [:]
  private var busy: [NodeID: Int] = [:]
  private var retries: [GroupID: Retry] = [:]
  /// Nodes in contact, counted once for a version of the membership.
  private var contacts = 0
  private var countedAt: UInt64?

  init(limits: Limits = Limits()) { self.limits = limits }

  var isIdle: Bool { running.isEmpty }
  var runningCount: Int { running.count }

  /// Looks at the table again. Groups without a reachable target wait for the nodes. `heirs` are to take over
  /// groups from their only member.
  mutating func fill(
    _ table: SlotTable, _ membership: Membership, heirs: [GroupID: NodeID] = [:],
    predecessors: [GroupID: NodeID] = [:], now: Instant
  ) {
    let groups = table.unfinished.union(heirs.keys)
    guard !groups.isEmpty else {
      // The rule in a healthy cluster, and this is asked once a second: nodes are not counted for nothing.
      (waiting, retries) = ([], [:])
      return
    }
    retries = retries.filter { groups.contains($0.key) }
    if countedAt != membership.version {
      contacts = membership.members.values.count(where: \.isInContact)
      countedAt = membership.version
    }
    waiting = groups.compactMap { id in
      guard let row = table[id], running[id] == nil, isDue(id, membership, now: now) else { return nil }
      let targets = ReconcilePass(
        row: row, membership, heir: heirs[id], replacing: predecessors[id], since: .zero
      ).targets
      guard !targets.isEmpty else { return nil }
      let copies = row.slots.count { slot in
        slot.state == .full && slot.node.flatMap { membership[$0] }?.isInContact == true
      }
      return Entry(group: id, copies: copies, targets: targets)
    }.sorted { (Self.urgency($0), $0.group) < (Self.urgency($1), $1.group) }
  }

  /// Groups on their last reachable copy come first. Those that have none can only look for one elsewhere.
  private static func urgency(_ entry: Entry) -> Int { entry.copies == 0 ? Int.max : entry.copies }

  private func isDue(_ group: GroupID, _ membership: Membership, now: Instant) -> Bool {
    guard let retry = retries[group] else { return true }
    return now >= retry.at || retry.membership != membership.version && now >= retry.soonest
  }

  /// Claims the next group; `nil` when none may run now.
  mutating func next() -> Entry? {
    // A large cluster works on more groups at once: each of them occupies a few nodes only.
    guard running.count < min(max(limits.groups, contacts * limits.groups / 32), limits.mostGroups),
      let place = waiting.firstIndex(where: { entry in
        entry.targets.contains { busy[$0, default: 0] < limits.groupsPerTarget }
      })
    else { return nil }
    let entry = waiting.remove(at: place)
    running[entry.group] = entry.targets
    for target in entry.targets { busy[target, default: 0] += 1 }
    return entry
  }

  enum End: Sendable, Hashable {
    /// A page is done and there is more.
    case goesOn
    /// Nothing is left to do.
    case finished
    /// Nothing can be done now.
    case failed
  }

  /// Gives a claimed group back.
  mutating func end(_ entry: Entry, _ end: End, membership: UInt64, now: Instant) {
    for target in running.removeValue(forKey: entry.group) ?? [] {
      busy[target, default: 1] -= 1
      if busy[target] == 0 { busy[target] = nil }
    }
    switch end {
    case .goesOn:
      retries[entry.group] = nil
      let place = waiting.firstIndex { Self.urgency($0) > Self.urgency(entry) } ?? waiting.endIndex
      waiting.insert(entry, at: place)
    case .finished:
      retries[entry.group] = nil
    case .failed:
      let failures = (retries[entry.group]?.failures ?? 0) + 1
      let pause = min(limits.longestRetry, limits.firstRetry * (1 << min(failures - 1, 10)))
      let soonest = now + (failures <= 2 ? .zero : min(pause, .seconds(5)))
      retries[entry.group] = Retry(
        failures: failures, at: now + pause, soonest: soonest, membership: membership)
    }
  }
}
