package import DFSCore
package import DFSMetadata

/// Chooses the groups of new chunks: those that can take a write now, spread over the cluster, the fuller
/// disks less often. Made once for a state of table and membership, then asked many times.
///
/// An upload keeps to a window of the groups, so that each page of its allocation names a bounded number of
/// group rows (`mostNamed`); different uploads have different windows.
package struct ChunkAllocator: Sendable {
  /// Groups that one page of an allocation names at most: half of what the chunks of one seal may be in, for
  /// the chunks of a segment may come from two pages.
  package static let mostNamed = Limits.groupsPerSeal / 2
  /// Groups that one upload uses while all of them can be written to: half of what a page may name, so that
  /// others can take their place when they can not.
  package static let window = mostNamed / 2

  private struct Choice: Sendable {
    var group: GroupID
    var free: ByteCount
  }

  /// Groups of one fitness, in the order of the table.
  private struct Tier: Sendable {
    var choices: [Choice] = []
    var places: [GroupID: Int] = [:]

    mutating func append(_ choice: Choice) {
      places[choice.group] = choices.count
      choices.append(choice)
    }
  }

  package let policy: PlacementPolicy
  /// Every member can be written to.
  private var whole = Tier()
  /// Enough members can.
  private var quorum = Tier()

  /// Looks at every group of the policy.
  package init(policy: PlacementPolicy, table: SlotTable, membership: Membership) {
    self.policy = policy
    // Once for each node, not for each of its hundred slots: this is done under the cluster's lock.
    let free = membership.members.compactMapValues { $0.isWritable ? $0.free : nil }
    for id in table.groups(replicas: policy.replicas) {
      let writable = (table[id]?.members ?? []).compactMap { free[$0] }
      guard writable.count >= policy.writeQuorum else { continue }
      let choice = Choice(group: id, free: writable.min() ?? .zero)
      if writable.count == Int(policy.replicas) { whole.append(choice) } else { quorum.append(choice) }
    }
  }

  /// The group of each of `count` new chunks, in runs. Avoided groups are chosen where there are no others.
  /// `named` are the groups that the page of the allocation names already; `seed` is the same for all calls
  /// of one upload.
  ///
  /// Throws `.unavailable` when no group can be written to.
  package func choose(
    _ count: Int, avoiding avoided: Set<GroupID> = [], keeping named: Set<GroupID> = [], seed: UInt64,
    using random: inout some RandomNumberGenerator
  ) throws -> [GroupID] {
    let window = window(avoiding: avoided, keeping: named, seed: seed)
    guard !window.isEmpty else {
      throw DFSError.tooFewNodes(
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
  private func window(avoiding avoided: Set<GroupID>, keeping named: Set<GroupID>, seed: UInt64) -> [Choice] {
    for wantsAvoided in avoided.isEmpty ? [false] : [false, true] {
      for tier in [whole, quorum] {
        func isWanted(_ group: GroupID) -> Bool { avoided.contains(group) == wantsAvoided }
        var window = named.filter(isWanted).sorted().compactMap { tier.places[$0].map { tier.choices[$0] } }
        let limit = min(Self.window, window.count + max(0, Self.mostNamed - named.count))
        let start = tier.choices.isEmpty ? 0 : Int(seed % UInt64(tier.choices.count))
        for choice in tier.choices[start...] + tier.choices[..<start] {
          guard window.count < limit else { break }
          if isWanted(choice.group), !named.contains(choice.group) { window.append(choice) }
        }
        if !window.isEmpty { return window }
      }
    }
    return []
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
