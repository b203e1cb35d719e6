/// Whether a node stays: one that comes and goes gets no slots until it has stayed for a while, or each of its
/// visits would move chunks to and fro. The slots that it has are not touched by this.
package struct Steadiness: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  package struct Rules: Sendable, Hashable {
    /// Losses of contact that are remembered for so long.
    package var window: Duration = .seconds(600)
    /// So many within the window are forgiven; planned stops do not count.
    package var forgiven = 2
    /// The first probation; each further loss doubles it.
    package var probation: Duration = .seconds(60)
    package var longest: Duration = .seconds(1800)

    package init() {}
  }

  private var drops: [Instant] = []
  private var until: Instant?

  package init() {}

  /// As of the last event or tick.
  package var isOnProbation: Bool { until != nil }

  /// Contact was lost, or the process had to start again.
  package mutating func dropped(at now: Instant, _ rules: Rules) {
    drops.removeAll { now - $0 >= rules.window }
    drops.append(now)
    drops.removeFirst(max(0, drops.count - 16))
  }

  /// It is back.
  package mutating func returned(at now: Instant, _ rules: Rules) {
    drops.removeAll { now - $0 >= rules.window }
    let excess = drops.count - rules.forgiven
    guard excess > 0 else { return }
    until = now + min(rules.longest, rules.probation * (1 << min(excess - 1, 10)))
  }

  /// True when a probation is over.
  package mutating func tick(now: Instant) -> Bool {
    guard let until, now >= until else { return false }
    self.until = nil
    return true
  }
}
