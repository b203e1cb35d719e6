package import DFSCore
package import DFSMetadata
import Synchronization

/// What this coordinator knows of the cluster's nodes and groups, for every call to look at: the two deciding
/// values behind one lock that is held for the length of a decision, never over a wait.
package final class Cluster: Sendable {
  package struct State: Sendable {
    package var membership: Membership
    package var table: SlotTable
    /// Groups that may have chunks somewhere: their slots do not move. Grows only.
    package var used: Set<GroupID> = []
    /// Reports of bad replicas that were found true.
    package var badReplicas: UInt64 = 0
    /// Chunks that were counted in a group by the census.
    package var chunkCounts: [GroupID: UInt64] = [:]
    package var repair = RepairBook()
    /// Who is to take over a slot from a member that has everything: the only one, from a node that drains, or
    /// one of several, from a fuller node. Repair copies everything to the heir before it becomes the member.
    package var heirs: [GroupID: NodeID] = [:]
    /// Whose slot the heir of a group of several replicas takes over.
    package var predecessors: [GroupID: NodeID] = [:]
    /// Of groups whose last change was that somebody gave a slot away.
    package internal(set) var givers: [GroupID: SlotGiver] = [:]
    package var checks = CheckBook()
    package var refused = RefusedNodes()
    package var earlyPurges = EarlyPurges()
    /// What was worked out of the above and holds while the stamp is the same.
    fileprivate var summary: (stamp: Stamp, value: GroupSummary)?
    fileprivate var allocators:
      [UInt8: (stamp: Stamp, madeAt: ContinuousClock.Instant, value: ChunkAllocator)] = [:]
  }

  /// Changes with every row, and with every node's life.
  fileprivate struct Stamp: Hashable, Sendable {
    var table: UInt64
    var membership: UInt64
  }

  private let state: Mutex<State>

  package init(membership: Membership, table: SlotTable) {
    state = Mutex(State(membership: membership, table: table))
  }

  package func withState<Result: Sendable>(_ body: (inout State) throws -> Result) rethrows -> Result {
    try state.withLock { try body(&$0) }
  }

  package func member(_ node: NodeID) -> Member? { withState { $0.membership[node] } }

  /// Takes rows that are durable, such as those that a seal may have changed.
  package func apply(_ groups: [PlacementGroup]) {
    withState { state in for group in groups { state.apply(group) } }
  }

  /// Marks groups as no longer empty, before chunks are allocated in them.
  package func markUsed(_ groups: some Sequence<GroupID>) { withState { $0.used.formUnion(groups) } }
}

/// Groups by what is wrong with them.
package struct GroupSummary: Sendable, Hashable {
  package var groups = 0
  /// Fewer full members than replicas.
  package var degraded = 0
  /// No reachable full member.
  package var unreadable = 0
  /// Fewer writable members than a write needs.
  package var unwritable = 0
  package var vacantSlots = 0
  /// Those with fewer copies in contact than replicas, in order of id. A node that has just given its slot away
  /// counts like a full member.
  package var short: [ShortGroup] = []

  package struct ShortGroup: Sendable, Hashable {
    package var id: GroupID
    /// Full members in contact, and who gave its slot away.
    package var copies: Int
    package var replicas: Int
  }

  /// Most short groups that are named, for the census: those with the fewest copies.
  static let mostNamed = 10_000

  init(table: SlotTable, membership: Membership, givers: [GroupID: SlotGiver] = [:]) {
    groups = table.count
    for group in table.groups.values {
      let members = group.slots.map { slot in (slot.state, slot.node.flatMap { membership[$0] }) }
      let full = members.filter { $0.0 == .full && $0.1?.record.state.holdsChunks == true }
      vacantSlots += members.count { $0.0 == .vacant }
      let replicas = Int(group.policy.replicas)
      if full.count < replicas { degraded += 1 }
      let readable = full.count { $0.1?.isReachable == true }
      let hasGiver = readable < replicas && givers[group.id]?.isThere(membership) == true
      let copies = readable + (hasGiver ? 1 : 0)
      if copies < replicas { short.append(ShortGroup(id: group.id, copies: copies, replicas: replicas)) }
      // An only member gives its slot to an heir that has everything but the newest chunks.
      if readable == 0, replicas > 1 || !hasGiver { unreadable += 1 }
      if members.count(where: { $0.1?.isWritable == true }) < group.policy.writeQuorum { unwritable += 1 }
    }
    if short.count > Self.mostNamed {
      short.sort { ($0.copies, $0.id) < ($1.copies, $1.id) }
      short.removeSubrange(Self.mostNamed...)
    }
    short.sort { $0.id < $1.id }
  }
}

extension Cluster.State {
  fileprivate var stamp: Cluster.Stamp {
    Cluster.Stamp(table: table.version, membership: membership.version)
  }

  /// A node that drains has given all its slots away, and nobody has anything to catch up with. Looks at every
  /// node.
  package var hasDrainedNode: Bool {
    table.unfinished.isEmpty
      && membership.members.values.contains {
        $0.record.state == .draining && table.slotCount(of: $0.id) == 0
      }
  }

  /// Made again after a change, and after a second, for the free space of the nodes changes all the time.
  mutating func allocator(for policy: PlacementPolicy, now: ContinuousClock.Instant) -> ChunkAllocator {
    if let known = allocators[policy.replicas], known.stamp == stamp, now - known.madeAt < .seconds(1) {
      return known.value
    }
    let made = ChunkAllocator(policy: policy, table: table, membership: membership)
    allocators[policy.replicas] = (stamp, now, made)
    return made
  }
}

extension Cluster {
  /// Counted again only after a change of a row or of a node's life, and not while others wait.
  func groupSummary() -> GroupSummary {
    let (known, stamp, table, membership, givers) = withState { state in
      (state.summary, state.stamp, state.table, state.membership, state.givers)
    }
    if let known, known.stamp == stamp { return known.value }
    let value = GroupSummary(table: table, membership: membership, givers: givers)
    withState { $0.summary = (stamp, value) }
    return value
  }
}
