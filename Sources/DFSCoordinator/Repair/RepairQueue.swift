import DFSCore
import DFSMetadata

/// Which group is repaired next: the one with the fewest full members in contact; a bounded number at a time,
/// in all and for each node that gets copies. Groups that failed wait, longer each time, and the longer the
/// more their passes cost; those that only lack an answer of absent nodes wait for these. A value with injected
/// time.
///
/// One slow node does not hold back the others: groups are begun for those that have room, and without those
/// that have far too many already.
struct RepairQueue: Sendable {
  typealias Instant = ContinuousClock.Instant

  struct Limits: Sendable {
    var groups = 16
    var mostGroups = 64
    var groupsPerTarget = 3
    /// A node that is a target of so many gets no others, also not together with a node that has room.
    var mostPerTarget = 6
    var firstRetry = Duration.seconds(1)
    /// Two nodes that can not reach each other are not seen to be back: nothing but the time limits this.
    var longestRetry = Duration.seconds(15)
    /// The same for passes that have listed much for nothing.
    var longestCostlyRetry = Duration.seconds(600)
    /// What a node spends on one listed chunk, twenty times: all passes that come to nothing are to take a
    /// twentieth of its disk's time at most.
    var perLook = Duration.milliseconds(100)
    /// For groups that wait for absent nodes. A member that misses more meanwhile is not seen here.
    var longestAbsence = Duration.seconds(3600)
  }

  /// Why a pass could not end, and what it did: this says when another one may do better.
  struct Obstacle: Sendable, Hashable {
    /// Nodes out of contact, and not out, that were not heard.
    var absent: Set<NodeID> = []
    /// Nothing else was in the way: until one of them is back or out, another pass does nothing.
    var isAbsenceAlone = false
    /// The group as it was; `nil` where nobody got as far as to look.
    var basis: ReconcilePass.Basis?
    /// Replicas that nodes have looked up on their disks.
    var looks = 0
    /// Replicas that were made.
    var copied = 0
  }

  struct Entry: Sendable, Hashable {
    var group: GroupID
    /// Full members in contact.
    var copies: Int
    var targets: Set<NodeID>
    /// Targets that have no room for another group: this page is without them.
    var leftOut: Set<NodeID> = []
  }

  private struct Retry: Sendable {
    var failures: Int
    var at: Instant
    /// When the group is another one, or a node that it waits for is back or out, it is tried again after this.
    var soonest: Instant
    /// Any node that came or went may change the outcome where it is not known what is waited for: after this.
    var soonestForOthers: Instant
    var membership: UInt64
    var obstacle: Obstacle
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
      guard let row = table[id], running[id] == nil else { return nil }
      let pass = ReconcilePass(
        row: row, membership, heir: heirs[id], replacing: predecessors[id], since: .zero)
      let targets = pass.targets
      guard !targets.isEmpty, isDue(id, pass, membership, now: now) else { return nil }
      let copies = row.slots.count { slot in
        slot.state == .full && slot.node.flatMap { membership[$0] }?.isInContact == true
      }
      return Entry(group: id, copies: copies, targets: targets)
    }.sorted { (Self.urgency($0), $0.group) < (Self.urgency($1), $1.group) }
  }

  /// Groups on their last reachable copy come first. Those that have none can only look for one elsewhere.
  private static func urgency(_ entry: Entry) -> Int { entry.copies == 0 ? Int.max : entry.copies }

  private func isDue(
    _ group: GroupID, _ pass: ReconcilePass, _ membership: Membership, now: Instant
  ) -> Bool {
    guard let retry = retries[group] else { return true }
    if now >= retry.at { return true }
    guard now >= retry.soonest else { return false }
    let obstacle = retry.obstacle
    if let basis = obstacle.basis, basis != pass.basis { return true }
    if obstacle.absent.contains(where: { membership[$0].map { $0.isInContact || $0.isGone } ?? true }) {
      return true
    }
    return !obstacle.isAbsenceAlone && retry.membership != membership.version
      && now >= retry.soonestForOthers
  }

  /// Claims the next group; `nil` when none may run now.
  mutating func next() -> Entry? {
    // A large cluster works on more groups at once: each of them occupies a few nodes only.
    guard running.count < min(max(limits.groups, contacts * limits.groups / 32), limits.mostGroups),
      let place = waiting.firstIndex(where: { entry in
        entry.targets.contains { busy[$0, default: 0] < limits.groupsPerTarget }
      })
    else { return nil }
    var entry = waiting.remove(at: place)
    entry.leftOut = entry.targets.filter { busy[$0, default: 0] >= limits.mostPerTarget }
    let targets = entry.targets.subtracting(entry.leftOut)
    running[entry.group] = targets
    for target in targets { busy[target, default: 0] += 1 }
    return entry
  }

  /// A target of a claimed group has got what this page has for it: it has room again, while others of the
  /// group are waited for.
  mutating func served(_ target: NodeID, of group: GroupID) {
    guard running[group]?.remove(target) != nil else { return }
    release(target)
  }

  private mutating func release(_ target: NodeID) {
    busy[target, default: 1] -= 1
    if busy[target] == 0 { busy[target] = nil }
  }

  enum End: Sendable, Hashable {
    /// A page is done and there is more.
    case goesOn
    /// Nothing is left to do.
    case finished
    /// Nothing can be done now.
    case failed(Obstacle)
  }

  /// Gives a claimed group back.
  mutating func end(_ entry: Entry, _ end: End, membership: UInt64, now: Instant) {
    for target in running.removeValue(forKey: entry.group) ?? [] { release(target) }
    switch end {
    case .goesOn:
      // A pass that has come to nothing before may do so again: its failures are kept.
      retries[entry.group]?.at = now
      let place = waiting.firstIndex { Self.urgency($0) > Self.urgency(entry) } ?? waiting.endIndex
      waiting.insert(entry, at: place)
    case .finished:
      retries[entry.group] = nil
    case .failed(let obstacle):
      retries[entry.group] = retry(after: obstacle, of: entry.group, membership: membership, now: now)
    }
  }

  private func retry(
    after obstacle: Obstacle, of group: GroupID, membership: UInt64, now: Instant
  ) -> Retry {
    let failures = obstacle.copied > 0 ? 1 : (retries[group]?.failures ?? 0) + 1
    var cost = Duration.zero
    if obstacle.looks > 0 {
      let others = retries.reduce(0) { $1.key == group ? $0 : $0 + $1.value.obstacle.looks }
      cost = min(limits.perLook * (others + obstacle.looks) / max(1, contacts), limits.longestCostlyRetry)
    }
    let longest = obstacle.isAbsenceAlone ? limits.longestAbsence : max(limits.longestRetry, cost)
    let pause =
      obstacle.isAbsenceAlone ? longest : min(longest, limits.firstRetry * (1 << min(failures - 1, 12)))
    func soonest(_ wait: Duration) -> Instant { now + (failures <= 2 ? .zero : min(pause, wait)) }
    return Retry(
      failures: failures, at: now + pause, soonest: soonest(.seconds(5)),
      soonestForOthers: soonest(max(.seconds(5), cost)), membership: membership, obstacle: obstacle)
  }
}
