package import DFSCore
package import DFSMetadata

/// A node that gave its slot of a group away while it had everything: to an heir, or because it drains. Until the
/// group's row changes again it has as many of the group's chunks as a full member, and keeps them: surplus copies
/// go only when all members are full. What came in since, the members have by their receipts. So the group has not
/// lost a copy, although its new member is still being given the rest.
///
/// Known only to the coordinator that saw the change.
package struct SlotGiver: Sendable, Hashable {
  package var node: NodeID
  /// Of the hand-over: a node that started anew since may have lost chunks.
  package var boot: BootID

  /// `nil` unless `after` is the next row of the group, and one full member in contact is none any more.
  init?(from before: PlacementGroup, to after: PlacementGroup, _ membership: Membership) {
    guard after.epoch == before.epoch.next, after.slots.contains(where: { $0.state == .filling }) else {
      return nil
    }
    let givers = before.slots.compactMap { slot in
      slot.state == .full ? slot.node.flatMap { after.members.contains($0) ? nil : $0 } : nil
    }
    guard givers.count == 1, let member = membership[givers[0]], member.isInContact, let boot = member.boot
    else { return nil }
    (node, self.boot) = (member.id, boot)
  }

  func isThere(_ membership: Membership) -> Bool {
    membership[node].map { $0.isInContact && $0.boot == boot && !$0.record.isSuspect } ?? false
  }
}

extension Cluster.State {
  /// Takes a row that is durable.
  package mutating func apply(_ row: PlacementGroup) {
    let before = table[row.id]
    guard table.apply(row) else { return }
    givers[row.id] = before.flatMap { SlotGiver(from: $0, to: row, membership) }
  }
}
