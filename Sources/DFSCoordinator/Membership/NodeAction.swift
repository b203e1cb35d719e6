package import DFSCore
package import DFSMetadata

/// What an operator wants of a node.
package enum NodeAction: Sendable, Hashable {
  /// Ends draining, maintenance and distrust.
  case activate
  /// Its slots move to other nodes; it serves until those have everything.
  case drain
  /// It is going to be away for a while: nothing is repaired for it.
  case maintenance
  /// Takes it out of the cluster for good.
  case remove(Removal)

  package enum Removal: Sendable, Hashable {
    /// Refused while a chunk may have no other good copy.
    case ifSafe
    case forced
  }
}

/// What is known, in this coordinator's life, of living chunks that no member of their group has.
package struct KnownLosses: Sendable, Hashable {
  /// How many are missing, as repair or the last check has found it.
  package var chunks: UInt64
  /// A check that compared all groups has ended and missed nothing: what was lost since, `chunks` counts.
  package var isChecked: Bool

  package init(repair: RepairBook, check: CheckResult?) {
    chunks = max(repair.lostChunks, check?.missing ?? 0)
    isChecked = check?.isClean ?? false
  }
}

extension Cluster.State {
  package var losses: KnownLosses { KnownLosses(repair: repair, check: checks.last) }
}

extension Membership {
  /// The record that `action` would give the node: to be made durable, then told to `decided`. Throws
  /// `.notFound` for an unknown node, `.failedPrecondition` with advice for what can not be done now. Asking for
  /// what is already so gives the record as it is.
  ///
  /// `losses` is what a removal that must be safe asks for. While the namespace is held after a restore nothing
  /// is safe: who the restored table calls full may have lost chunks in the rounds that are lost, until a check
  /// has compared them.
  package func record(
    after action: NodeAction, of node: NodeID, table: SlotTable, losses: KnownLosses, isHeld: Bool = false
  ) throws -> ClusterNode {
    guard let member = members[node] else {
      throw DFSError(.notFound, "there is no node \(node); see `dfsd admin nodes`")
    }
    var record = member.record
    if record.state == .removed {
      guard case .remove = action else {
        throw DFSError(
          .failedPrecondition,
          "node \(node) was removed for good: start it with an empty data directory, as a new node")
      }
      return record
    }
    switch action {
    case .activate:
      record.isSuspect = false
      if record.state != .out { record.state = member.life == .out ? .out : .active }
    case .drain:
      try refuseOut(record, "its chunks are being copied from others already; remove it when `dfsd status` is clean")
      record.state = .draining
    case .maintenance:
      try refuseOut(record, "its chunks are being copied already")
      guard record.state != .draining else {
        throw DFSError(
          .failedPrecondition, "node \(node) is draining: `dfsd admin activate \(node)` it first, or wait")
      }
      record.state = .maintenance
    case .remove(let removal):
      if removal == .ifSafe {
        guard !isHeld else {
          throw DFSError(
            .failedPrecondition,
            """
            the metadata was restored from a copy, so who has which chunk is not sure: run `dfsd admin fsck`, then \
            `dfsd admin release`, before node \(node) is removed; --force removes it all the same
            """, metadata: ["refusal": "held"])
        }
        try refuseUnsafeRemoval(of: member, table: table, losses: losses)
      }
      record.state = .removed
    }
    return record
  }

  private func refuseOut(_ record: ClusterNode, _ why: String) throws {
    guard record.state == .out else { return }
    throw DFSError(.failedPrecondition, "node \(record.id) is out of contact: \(why)")
  }

  private func refuseUnsafeRemoval(of member: Member, table: SlotTable, losses: KnownLosses) throws {
    let node = member.id
    let slots = table.slotCount(of: node)
    guard slots == 0 else {
      let advice =
        member.isGone
        ? "wait until others have its chunks, or start more datanodes where slots stay vacant"
        : "`dfsd admin drain \(node)` and wait; where that ends with slots left, start another datanode"
      throw DFSError(
        .failedPrecondition,
        "node \(node) is a member of \(slots) groups: \(advice); --force removes it all the same",
        metadata: ["refusal": "has_slots", "slots": "\(slots)"])
    }
    // It has no slots, and still it may be the only one that has what its successors lack.
    let unfinished = table.groups.values.count { row in
      row.slots.contains { $0.state == .filling } || !row.slots.contains { $0.state == .full }
    }
    guard unfinished == 0, losses.chunks == 0 else {
      throw DFSError(
        .failedPrecondition,
        """
        node \(node) may have the last copies of some chunks: \(unfinished) groups are still being filled and \
        \(losses.chunks) chunks are missing elsewhere; wait for repair, look again by \
        `dfsd admin fsck --wait`, or --force
        """, metadata: ["refusal": "last_copies"])
    }
    // What a coordinator before this one has found missing, it has forgotten.
    let isEmpty = member.isInContact && member.report?.chunks == 0
    guard isEmpty || losses.isChecked else {
      throw DFSError(
        .failedPrecondition,
        """
        node \(node) may have the last copies of some chunks: no check has compared all groups since the \
        coordinator started; `dfsd admin fsck --wait` does, or --force
        """, metadata: ["refusal": "unchecked"])
    }
  }

  /// Takes over a decision that is durable. Gives the node's change of life.
  package mutating func decided(_ record: ClusterNode) -> [Transition] {
    guard var member = members[record.id] else { return [] }
    let life = member.life
    if !record.isSuspect { member.badReplicas.reset() }
    member.record = record
    if record.state == .removed {
      member.life = .out
      member.boot = nil
    }
    members[record.id] = member
    unsaved.remove(record.id)
    version += 1
    return life == member.life ? [] : [Transition(node: record.id, from: life, to: member.life)]
  }
}
