package import DFSCore
package import DFSMetadata

/// Chooses the groups of new chunks: those that can take a write now, spread over the cluster, the fuller disks
/// less often.
///
/// An upload keeps to a window of the groups, so that one segment of its chunks touches a bounded number of
/// group rows; different uploads have different windows.
package struct ChunkAllocator: Sendable {
  /// Groups that one upload uses while the table stays as it is.
  package static let window = 48

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

  /// The group of each of `count` new chunks, in runs. `seed` is the same for all calls of one upload.
  ///
  /// Throws `.unavailable` when no group can be written to.
  package func choose(
    _ count: Int, seed: UInt64, using random: inout some RandomNumberGenerator
  ) throws -> [GroupID] {
    guard let best = choices.map(\.fitness).min() else {
      throw DFSError(
        .unavailable,
        """
        no group of \(policy.replicas) replicas has the \(policy.writeQuorum) reachable, writable nodes that a \
        write needs; see `dfsd status`
        """, metadata: ["replicas": "\(policy.replicas)"])
    }
    let fit = choices.filter { $0.fitness == best }
    let start = Int(seed % UInt64(fit.count))
    let window = (0..<min(Self.window, fit.count)).map { fit[(start + $0) % fit.count] }
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
