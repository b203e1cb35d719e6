package import DFSCore
package import DFSMetadata

/// Chooses the groups of new chunks: those that can take a write now, spread over the cluster, the fuller disks
/// less often.
///
/// An upload keeps to a window of the groups, so that each page of its allocation names a bounded number of
/// group rows (`mostNamed`); different uploads have different windows.
package struct ChunkAllocator: Sendable {
  /// Groups that one page of an allocation, 512 indices, may name: the metadata refuses more.
  package static let mostNamed = 48
  /// Groups that one upload uses while all of them can be written to: half of what a page may name, so that
  /// others can take their place when they can not.
  package static let window = mostNamed / 2

  /// What the members of a group can take.
  private enum Fitness: Int, Comparable {
    case whole = 0
    case quorum = 1
    case avoided = 2
    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  private struct Choice {
    var group: GroupID
    var fitness: Fitness
    var free: ByteCount
  }

  package let policy: PlacementPolicy
  private let choices: [Choice]

  /// Looks at every group of the policy; in the order of the table.
  package init(
    policy: PlacementPolicy, table: SlotTable, membership: Membership, avoiding avoided: Set<GroupID> = []
  ) {
    self.policy = policy
    choices = table.groups(replicas: policy.replicas).compactMap { id in
      guard let group = table[id] else { return nil }
      let writable = group.members.compactMap { membership[$0] }.filter(\.isWritable)
      guard writable.count >= policy.writeQuorum else { return nil }
      let fitness: Fitness =
        avoided.contains(id) ? .avoided : writable.count == Int(policy.replicas) ? .whole : .quorum
      return Choice(group: id, fitness: fitness, free: writable.map(\.free).min() ?? .zero)
    }
  }

  /// The group of each of `count` new chunks, in runs. `named` are the groups that the page of the allocation
  /// names already; `seed` is the same for all calls of one upload.
  ///
  /// Throws `.unavailable` when no group can be written to.
  package func choose(
    _ count: Int, keeping named: Set<GroupID> = [], seed: UInt64, using random: inout some RandomNumberGenerator
  ) throws -> [GroupID] {
    guard let window = window(keeping: named, seed: seed) else {
      throw DFSError(
        .unavailable,
        """
        no group of \(policy.replicas) replicas has the \(policy.writeQuorum) reachable, writable nodes that a \
        write needs; see `dfsd status`
        """, metadata: ["replicas": "\(policy.replicas)"])
    }
    let run = (count + Self.window - 1) / Self.window
    var groups: [GroupID] = []
    groups.reserveCapacity(count)
    var last: GroupID?
    while groups.count < count {
      let choice = draw(from: window, notAgain: last, using: &random)
      groups += [GroupID](repeating: choice.group, count: min(run, count - groups.count))
      last = choice.group
    }
    return groups
  }

  /// The fittest groups that may be used; what the page names already comes first.
  private func window(keeping named: Set<GroupID>, seed: UInt64) -> [Choice]? {
    let room = Self.mostNamed - named.count
    let allowed = room > 0 ? choices : choices.filter { named.contains($0.group) }
    guard let best = allowed.map(\.fitness).min() else { return nil }
    let fit = allowed.filter { $0.fitness == best }
    let kept = fit.filter { named.contains($0.group) }
    let others = fit.filter { !named.contains($0.group) }
    guard !others.isEmpty else { return kept }
    let more = min(others.count, max(0, min(Self.window - kept.count, room)))
    let start = Int(seed % UInt64(others.count))
    return kept + (0..<more).map { others[(start + $0) % others.count] }
  }

  /// The roomier of two random ones: keeps disks level without counting what is under way.
  private func draw(
    from window: [Choice], notAgain last: GroupID?, using random: inout some RandomNumberGenerator
  ) -> Choice {
    let first = window[Int.random(in: 0..<window.count, using: &random)]
    let second = window[Int.random(in: 0..<window.count, using: &random)]
    if first.group == last { return second }
    if second.group == last { return first }
    return first.free >= second.free ? first : second
  }
}
