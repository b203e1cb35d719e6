package import DFSCore

/// Opens groups or changes their slots, all or none. Each row's epoch is raised by one.
package struct ChangeGroups: Mutation {
  package struct Change: Sendable, Hashable {
    package var id: GroupID
    /// The epoch the plan was made on; `nil` to open the group. Another one: `.stale`, plan again.
    package var expected: GroupEpoch?
    package var policy: PlacementPolicy
    /// One for each replica; a node at most once, and registered.
    package var slots: [GroupSlot]

    package init(id: GroupID, expected: GroupEpoch?, policy: PlacementPolicy, slots: [GroupSlot]) {
      self.id = id
      self.expected = expected
      self.policy = policy
      self.slots = slots
    }
  }
  package struct Outcome: Sendable, Hashable {
    /// As they are now, in the order of the changes.
    package var epochs: [GroupEpoch]
  }

  /// 1 to `Limits.groupsPerChange`.
  package var changes: [Change]
  package init(changes: [Change]) { self.changes = changes }
}
