package import DFSCore
package import DFSMetadata

/// What there is to plan for: while it is the same, another plan would change nothing.
package struct PlanOccasion: Sendable, Hashable {
  package var eligible: Set<NodeID>
  /// Nodes that are out or removed and have slots.
  package var gone: Set<NodeID>
  /// Nodes that drain and have slots.
  package var draining: Set<NodeID>
  /// While something drains, each group that became full lets another one move.
  package var table: UInt64
  package var membership: UInt64

  package init(_ state: Cluster.State) {
    eligible = []
    gone = []
    draining = []
    for member in state.membership.members.values {
      if member.isEligible { eligible.insert(member.id) }
      guard state.table.slotCount(of: member.id) > 0 else { continue }
      if member.isGone {
        gone.insert(member.id)
      } else if member.record.state == .draining {
        draining.insert(member.id)
      }
    }
    table = draining.isEmpty ? 0 : state.table.version
    membership = draining.isEmpty ? 0 : state.membership.version
  }
}

extension GroupPlanner {
  /// A planner for the nodes as they are.
  package init(
    policy: PlacementPolicy, membership: Membership, rules: Rules,
    isEmpty: @escaping @Sendable (GroupID) -> Bool
  ) {
    let present = membership.present
    var leaving: [NodeID: Leaving] = [:]
    for member in membership.members.values {
      switch (member.record.state, member.life) {
      case (.removed, _): leaving[member.id] = .removed
      case (.out, _), (_, .out): leaving[member.id] = .out
      case (.draining, _): leaving[member.id] = .draining
      case (.active, _), (.maintenance, _): break
      }
    }
    self.init(
      policy: policy,
      candidates: present.filter(\.isEligible).map {
        Candidate(
          node: $0.id, zone: $0.zone, capacity: $0.record.capacity, free: $0.free,
          stored: $0.report?.stored ?? .zero)
      },
      zones: Dictionary(present.map { ($0.id, $0.zone) }, uniquingKeysWith: { first, _ in first }),
      rules: rules, leaving: leaving, inContact: Set(present.filter(\.isInContact).map(\.id)),
      isEmpty: isEmpty)
  }
}
