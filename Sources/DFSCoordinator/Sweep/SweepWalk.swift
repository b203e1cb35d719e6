package import DFSCore

/// Where the sweep is: which window of which group comes next, when a pass begins, and what the pass has
/// found.
///
/// A value without I/O. A pass goes through all groups that there are at its beginning, in order of id, each
/// from its first chunk to its last in windows. Groups with a member that is not in contact are passed over,
/// and visited again later until they were seen; what is found then is added to the result of their pass.
/// Groups with missing chunks are visited again, too, for a node that has them may come back. Nothing of it is
/// durable: a restart begins a new pass, which costs time only.
package struct SweepWalk: Sendable {
  package typealias Instant = ContinuousClock.Instant

  package enum Next: Sendable, Hashable {
    /// Compare the ids of `group` after `after`, then call `swept`, `passOver` or `again` with the visit.
    case window(Visit)
    /// Nothing to do before this time has passed.
    case wait(Duration)
  }

  /// One window that is being compared. What is told of another one than the present is ignored.
  package struct Visit: Sendable, Hashable {
    package var pass: UInt64
    package var group: GroupID
    package var after: ChunkID?
    fileprivate var attempt = 0
  }

  private struct Pass: Sendable {
    var result: CheckResult
    var groups: [GroupID]
    var index = 0
    var after: ChunkID?
    var attempt = 0
    var skipped: [GroupID] = []
    /// Of the windows of the present group so far.
    var living: UInt64 = 0
    var lost = Missing()
    /// What no member has, of each group where that is something.
    var missing: [GroupID: Missing] = [:]
    /// Groups that are in the result already, but for what is missing.
    var known: Set<GroupID> = []
    var isHurried: Bool

    mutating func leaveGroup() {
      (after, attempt, living, lost) = (nil, 0, 0, Missing())
      index += 1
    }
  }

  fileprivate struct Missing: Sendable {
    var count: UInt64 = 0
    var named: [ChunkID] = []
  }

  /// Groups that are to be visited again for the result of the last pass.
  private struct Waiting: Sendable {
    var skipped: [GroupID]
    var missing: [GroupID: Missing]
    var due: Instant
  }

  /// The first pass waits for the nodes to come back after a start of the coordinator. Not for long, and then
  /// it does not dawdle: what the coordinator before had found missing is not known until it has ended.
  package static let firstPass = Duration.seconds(120)
  /// Groups that were passed over, or miss chunks, are visited again after so long.
  package static let revisit = Duration.seconds(60)
  /// A group whose row changes under each of so many attempts is left for a later visit.
  package static let attempts = 3

  private let period: Duration
  private var pass: Pass?
  private var number: UInt64 = 0
  private var isWanted = false
  private var nextPass: Instant
  private var waiting: Waiting?
  /// Of the last pass that came to its end.
  package private(set) var last: CheckResult?

  package init(period: Duration, startedAt: Instant) {
    self.period = period
    nextPass = startedAt + min(period, Self.firstPass)
  }

  /// Begins a new pass with the next step, and goes through it without pauses.
  package mutating func hurry() { isWanted = true }

  /// Hurries the first check, unless one is under way without pauses or has ended.
  package mutating func hurryFirst() { if canHurryFirst { hurry() } }
  package var canHurryFirst: Bool { last == nil && pass?.isHurried != true }

  /// What to do now. `groups` gives all groups in order of id; it is asked at the beginning of a pass only.
  package mutating func next(now: Instant, groups: () -> [GroupID]) -> Next {
    if isWanted || (pass == nil && now >= nextPass) {
      number += 1
      pass = Pass(
        result: CheckResult(number: number, startedAt: now, endedAt: now), groups: groups(),
        isHurried: isWanted)
      isWanted = false
      waiting = nil
      nextPass = now + period
    } else if pass == nil, let waiting, let last, now >= waiting.due {
      let known = Set(waiting.missing.keys).subtracting(waiting.skipped)
      pass = Pass(
        result: last, groups: known.union(waiting.skipped).sorted(), missing: waiting.missing, known: known,
        isHurried: true)
      self.waiting = nil
    }
    guard let pass else {
      return .wait(max(.milliseconds(10), min(nextPass, waiting?.due ?? nextPass) - now))
    }
    guard pass.index < pass.groups.count else {
      end(pass, now: now)
      return .wait(.milliseconds(10))
    }
    return .window(
      Visit(
        pass: pass.result.number, group: pass.groups[pass.index], after: pass.after, attempt: pass.attempt))
  }

  /// The pause before the next group: all of them take a tenth of the period at most, those of the first pass a
  /// hundredth. The windows of one group follow each other without any, for how many there are is not known before.
  package var pause: Duration {
    guard let pass, !pass.isHurried, pass.after == nil else { return .zero }
    let count = max(1, pass.groups.count)
    return last == nil ? min(.seconds(1), period / (100 * count)) : min(.seconds(5), period / (10 * count))
  }

  /// Groups that are done of the present pass, and how many it has; `nil` between passes.
  package var progress: (done: Int, total: Int)? { pass.map { ($0.index, $0.groups.count) } }

  /// The window was compared up to `end`, or to the end of the group where that is `nil`.
  package mutating func swept(_ visit: Visit, to end: ChunkID?, _ findings: SweepPlan.Findings, now: Instant)
  {
    guard isPresent(visit), var pass else { return }
    let isNew = !pass.known.contains(visit.group)
    if isNew { pass.result.add(findings) }
    pass.living += UInt64(findings.living)
    pass.lost.add(findings.missing)
    pass.attempt = 0
    pass.after = end
    if end == nil {
      if isNew {
        pass.result.groups += 1
        pass.result.chunks += pass.living
      }
      pass.missing[visit.group] = pass.lost.count > 0 ? pass.lost : nil
      pass.leaveGroup()
    }
    self.pass = pass
    endIfDone(now: now)
  }

  /// The row has changed under the window: it is compared once more, a few times.
  package mutating func again(_ visit: Visit, now: Instant) {
    guard isPresent(visit), let attempt = pass?.attempt else { return }
    guard attempt + 1 < Self.attempts else { return passOver(visit, now: now) }
    pass?.attempt = attempt + 1
  }

  /// The group can not be compared now.
  package mutating func passOver(_ visit: Visit, now: Instant) {
    guard isPresent(visit) else { return }
    if pass?.known.contains(visit.group) == false { pass?.skipped.append(visit.group) }
    pass?.leaveGroup()
    endIfDone(now: now)
  }

  private func isPresent(_ visit: Visit) -> Bool {
    guard let pass, !isWanted, pass.index < pass.groups.count else { return false }
    return visit
      == Visit(
        pass: pass.result.number, group: pass.groups[pass.index], after: pass.after, attempt: pass.attempt)
  }

  private mutating func endIfDone(now: Instant) {
    if let pass, pass.index == pass.groups.count { end(pass, now: now) }
  }

  private mutating func end(_ pass: Pass, now: Instant) {
    var result = pass.result
    result.skippedGroups = pass.skipped.count
    result.missing = pass.missing.values.reduce(0) { $0 + $1.count }
    let named = pass.missing.sorted { $0.key < $1.key }.lazy.flatMap { group, missing in
      missing.named.map { GroupedChunk(group: group, chunk: $0) }
    }
    result.missingNamed = Array(named.prefix(CheckResult.mostNamed))
    // A visit that changed nothing is no news.
    if result != last { result.endedAt = now }
    last = result
    let isDone = pass.skipped.isEmpty && pass.missing.isEmpty
    waiting =
      isDone ? nil : Waiting(skipped: pass.skipped, missing: pass.missing, due: now + Self.revisit)
    self.pass = nil
  }
}

extension SweepWalk.Missing {
  mutating func add(_ chunks: [ChunkID]) {
    count += UInt64(chunks.count)
    named += chunks.prefix(max(0, CheckResult.mostNamed - named.count))
  }
}

extension CheckResult {
  /// What was done about a window; how much there is, and what is missing, counts with the whole group.
  fileprivate mutating func add(_ findings: SweepPlan.Findings) {
    incompleteMembers += findings.lacking.count
    lackedCopies += findings.lacking.values.reduce(0) { $0 + UInt64($1.count) }
    orphans += UInt64(findings.orphans.count)
  }
}
