package import DFSCore

/// What a slot's member is known to hold.
package enum SlotState: UInt8, Sendable, Hashable {
  /// Every living chunk of the group.
  case full = 1
  /// A new member that does not have everything yet.
  case filling = 2
  /// Missed at least one write; reconciliation makes it full again.
  case behind = 3
  /// No member: nobody eligible. Writes go on at W.
  case vacant = 4
}

/// One of the R places of a group.
package struct GroupSlot: Sendable, Hashable {
  /// `nil` exactly when the slot is vacant.
  package var node: NodeID?
  package var state: SlotState

  package init(node: NodeID, state: SlotState) {
    precondition(state != .vacant, "a vacant slot has no node")
    self.node = node
    self.state = state
  }
  private init() {
    node = nil
    state = .vacant
  }
  package static let vacant = GroupSlot()
}

/// One row of the slot table.
package struct PlacementGroup: Sendable, Hashable {
  package var id: GroupID
  /// Raised by every change of a member or a state.
  package var epoch: GroupEpoch
  package var policy: PlacementPolicy
  /// As many as the policy has replicas.
  package var slots: [GroupSlot]
  /// When a member that is not full missed a chunk last, or lost one. Does not raise the epoch: it is what
  /// `ChangeGroups` compares before such a member may be called full.
  package var missedAt: Revision
  /// Of members that joined after the group was opened, or were found to lack chunks that they had: the epoch that
  /// this made. Their receipts of earlier epochs say nothing any more. Others count from the beginning.
  package var countsFrom: [NodeID: GroupEpoch]
  /// Nodes, members or not, that had bad copies and were not full since: whoever does not know which ones has the
  /// node read everything that it lists. At most `Limits.doubtedNodes`.
  package var doubted: Set<NodeID>

  package init(
    id: GroupID, epoch: GroupEpoch, policy: PlacementPolicy, slots: [GroupSlot], missedAt: Revision = .zero,
    countsFrom: [NodeID: GroupEpoch] = [:], doubted: Set<NodeID> = []
  ) {
    self.id = id
    self.epoch = epoch
    self.policy = policy
    self.slots = slots
    self.missedAt = missedAt
    self.countsFrom = countsFrom
    self.doubted = doubted
  }

  package var members: [NodeID] { slots.compactMap(\.node) }

  /// Whether what `node` got as a member at `epoch` counts as a copy: it has been a member since, and was not found
  /// to have lost anything.
  package func counts(_ node: NodeID, at epoch: GroupEpoch) -> Bool {
    members.contains(node) && epoch >= countsFrom[node] ?? .zero
  }
}

/// What an operator, or the membership's rules, decided about a node. "Down" is not here: it is the leader's
/// own, momentary observation.
package enum NodeState: UInt8, Sendable, Hashable {
  case active = 1
  case draining = 2
  case maintenance = 3
  /// Failed: no longer counted as a holder of anything.
  case out = 4
  /// Taken out of the cluster for good; its id is never accepted again.
  case removed = 5

  /// Whether a receipt of the node counts.
  package var holdsChunks: Bool { self != .out && self != .removed }
}

/// One registered datanode.
package struct ClusterNode: Sendable, Hashable {
  package var id: NodeID
  package var store: StoreID
  package var boot: BootID
  package var endpoints: [Endpoint]
  package var zone: String
  package var capacity: ByteCount
  package var state: NodeState
  /// The key with which the node signs receipts; 32 bytes.
  package var receiptKey: [UInt8]
  /// Many of its replicas went bad in a short time: it takes nothing new until a person has looked at it.
  package var isSuspect: Bool

  package init(
    id: NodeID, store: StoreID, boot: BootID, endpoints: [Endpoint], zone: String, capacity: ByteCount,
    state: NodeState, receiptKey: [UInt8], isSuspect: Bool = false
  ) {
    self.id = id
    self.store = store
    self.boot = boot
    self.endpoints = endpoints
    self.zone = zone
    self.capacity = capacity
    self.state = state
    self.receiptKey = receiptKey
    self.isSuspect = isSuspect
  }
}
