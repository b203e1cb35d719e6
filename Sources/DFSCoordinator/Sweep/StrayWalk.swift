package import DFSCore

/// Where the search for strays is: node after node, group after group, page after page.
///
/// A value without I/O. A node that does not answer is left for the next pass.
package struct StrayWalk: Sendable {
  package typealias Instant = ContinuousClock.Instant

  package enum Next: Sendable, Hashable {
    /// Ask the node for its groups after this one, then call `listed`.
    case groups(NodeID, after: GroupID?)
    /// Look at the next strays of this group, then call `looked`.
    case page(NodeID, GroupID, after: ChunkID?)
    /// Nothing to do before this time has passed.
    case wait(Duration)
  }

  /// What a pass has found.
  package struct Result: Sendable, Hashable {
    package var strays: UInt64 = 0
    package var removed: UInt64 = 0
    package var orphans: UInt64 = 0
    package var contradicting: UInt64 = 0

    package init() {}
  }

  private struct Pass: Sendable {
    var nodes: ArraySlice<NodeID>
    var groups: ArraySlice<GroupID> = []
    /// Where the node is to be asked on; `nil` when it has told all.
    var listing: Listing? = Listing(after: nil)
    var after: ChunkID?
    var result = Result()
    var isHurried: Bool

    mutating func leaveGroup() {
      groups = groups.dropFirst()
      after = nil
    }

    mutating func leaveNode() {
      nodes = nodes.dropFirst()
      groups = []
      listing = Listing(after: nil)
      after = nil
    }
  }
  private struct Listing: Sendable {
    var after: GroupID?
  }

  /// To ask the nodes costs little: this is done more often than the check of what they have.
  package static let longestPeriod = Duration.seconds(600)

  private let period: Duration
  private var pass: Pass?
  private var isWanted = false
  private var nextPass: Instant
  /// Of the last pass that came to its end.
  package private(set) var last: Result?
  /// Passes that came to their end.
  package private(set) var passes: UInt64 = 0

  package init(period: Duration, startedAt: Instant) {
    self.period = min(period, Self.longestPeriod)
    nextPass = startedAt + self.period
  }

  /// Begins a new pass with the next step, and goes through it without pauses.
  package mutating func hurry() { isWanted = true }

  /// What to do now. `nodes` gives the nodes in contact; it is asked at the beginning of a pass only.
  package mutating func next(now: Instant, nodes: () -> [NodeID]) -> Next {
    if isWanted || (pass == nil && now >= nextPass) {
      pass = Pass(nodes: nodes()[...], isHurried: isWanted)
      isWanted = false
      nextPass = now + period
    }
    guard let pass else { return .wait(max(.milliseconds(10), nextPass - now)) }
    guard let node = pass.nodes.first else {
      last = pass.result
      passes += 1
      self.pass = nil
      return .wait(.milliseconds(10))
    }
    if let group = pass.groups.first { return .page(node, group, after: pass.after) }
    if let listing = pass.listing { return .groups(node, after: listing.after) }
    leaveNode()
    return next(now: now, nodes: nodes)
  }

  /// Nodes that are left of the present pass; `nil` between passes, and `Int.max` before one that is wanted.
  package var nodesLeft: Int? { isWanted ? .max : pass?.nodes.count }

  package var pause: Duration { pass?.isHurried == false ? .milliseconds(200) : .zero }

  /// The node has told its groups up to `last`: of those in `foreign` it is no member. `more` follow.
  package mutating func listed(_ foreign: [GroupID], last: GroupID?, more: Bool) {
    pass?.groups = foreign[...]
    pass?.listing = more ? Listing(after: last) : nil
  }

  /// A page of the present group was dealt with, up to `end`, or to the last of its strays where that is
  /// `nil`.
  package mutating func looked(to end: ChunkID?, _ findings: StrayPlan.Findings) {
    pass?.result.strays += UInt64(findings.kept + findings.surplus.count + findings.orphans.count)
    pass?.result.removed += UInt64(findings.surplus.count)
    pass?.result.orphans += UInt64(findings.orphans.count)
    pass?.result.contradicting += UInt64(findings.contradicting.count)
    pass?.after = end
    if end == nil { leaveGroup() }
  }

  /// The present group has no strays on the node any more, or can not be looked at now.
  package mutating func leaveGroup() { pass?.leaveGroup() }

  /// The node does not answer, or has told all.
  package mutating func leaveNode() { pass?.leaveNode() }
}
