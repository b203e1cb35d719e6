package import DFSCore

/// Where the sweep is: which window of which group comes next, when a pass begins, and what the pass has
/// found.
///
/// A value without I/O. A pass goes through all groups that there are at its beginning, in order of id, each
/// from its first chunk to its last in windows. Groups with a member that is not in contact are passed over,
/// and visited again later until they were seen; what is found then is added to the result of their pass.
/// Nothing of it is durable: a restart begins a new pass, which costs time only.
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
    var isHurried: Bool
  }

  /// The first pass waits for the nodes to come back after a start of the coordinator.
  package static let firstPass = Duration.seconds(600)
  /// Groups that were passed over are visited again after so long.
  package static let revisit = Duration.seconds(60)
  /// A group whose row changes under each of so many attempts is left for a later visit.
  package static let attempts = 3

  private let period: Duration
  private var pass: Pass?
  private var number: UInt64 = 0
  private var isWanted = false
  private var nextPass: Instant
  private var waiting: (groups: [GroupID], due: Instant)?
  /// Of the last pass that came to its end.
  package private(set) var last: CheckResult?

  package init(period: Duration, startedAt: Instant) {
    self.period = period
    nextPass = startedAt + min(period, Self.firstPass)
  }

  /// Begins a new pass with the next step, and goes through it without pauses.
  package mutating func hurry() { isWanted = true }

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
      pass = Pass(result: last, groups: waiting.groups, isHurried: true)
      pass?.result.skippedGroups = 0
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

  /// The pause before the next window: a pass on its own takes about a tenth of the period.
  package var pause: Duration {
    guard let pass, !pass.isHurried else { return .zero }
    return min(.seconds(5), period / (10 * max(1, pass.groups.count)))
  }

  /// Groups that are done of the present pass, and how many it has; `nil` between passes.
  package var progress: (done: Int, total: Int)? { pass.map { ($0.index, $0.groups.count) } }

  /// The window was compared up to `end`, or to the end of the group where that is `nil`.
  package mutating func swept(_ visit: Visit, to end: ChunkID?, _ findings: SweepPlan.Findings, now: Instant)
  {
    guard isPresent(visit), var pass else { return }
    pass.result.add(findings, of: visit.group)
    pass.attempt = 0
    pass.after = end
    if end == nil {
      pass.result.groups += 1
      pass.index += 1
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
    pass?.skipped.append(visit.group)
    pass?.after = nil
    pass?.attempt = 0
    pass?.index += 1
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
    result.endedAt = now
    result.skippedGroups = pass.skipped.count
    last = result
    waiting = pass.skipped.isEmpty ? nil : (pass.skipped, now + Self.revisit)
    self.pass = nil
  }
}

extension CheckResult {
  fileprivate mutating func add(_ findings: SweepPlan.Findings, of group: GroupID) {
    chunks += UInt64(findings.living)
    missing += UInt64(findings.missing.count)
    missingNamed += findings.missing.prefix(max(0, Self.mostNamed - missingNamed.count)).map {
      GroupedChunk(group: group, chunk: $0)
    }
    incompleteMembers += findings.lacking.count
    lackedCopies += findings.lacking.values.reduce(0) { $0 + UInt64($1.count) }
    orphans += UInt64(findings.orphans.count)
  }
}
