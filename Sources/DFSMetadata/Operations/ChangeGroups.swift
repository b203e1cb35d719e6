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
    /// Set to make a member full: when one that is not full missed or lost a chunk after this revision, what was
    /// seen of it proves nothing: `.stale`, look again.
    package var unlessMissedSince: Revision?

    package init(
      id: GroupID, expected: GroupEpoch?, policy: PlacementPolicy, slots: [GroupSlot],
      unlessMissedSince: Revision? = nil
    ) {
      self.id = id
      self.expected = expected
      self.policy = policy
      self.slots = slots
      self.unlessMissedSince = unlessMissedSince
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

extension ChangeGroups {
  package static var kind: OperationKind { .changeGroups }

  package func encodeArguments(to writer: inout RecordWriter) {
    writer.number(UInt(changes.count))
    for change in changes {
      writer.group(change.id)
      writer.optional(change.expected) { $0.number($1.rawValue) }
      writer.policy(change.policy)
      writer.slots(change.slots)
      writer.optional(change.unlessMissedSince) { $0.revision($1) }
    }
  }

  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.number(UInt(outcome.epochs.count))
    for epoch in outcome.epochs { writer.number(epoch.rawValue) }
  }

  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    let count = try reader.count(upTo: Limits.groupsPerChange)
    return Outcome(epochs: try (0..<count).map { _ in GroupEpoch(rawValue: try reader.number()) })
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard (1...Limits.groupsPerChange).contains(changes.count), Set(changes.map(\.id)).count == changes.count
    else {
      throw DFSError(.invalidArgument, "1 to \(Limits.groupsPerChange) different groups are changed at once")
    }
    return Outcome(epochs: try changes.map { try apply($0, in: &transaction) })
  }

  private func apply(_ change: Change, in transaction: inout Transaction) throws -> GroupEpoch {
    let before = try transaction.groupRow(change.id)
    guard before?.epoch == change.expected else {
      let now = before?.epoch.description ?? "none"
      throw DFSError(
        .stale, "group \(change.id) is not at the epoch the plan was made on: it is at \(now)",
        metadata: ["group": change.id.description, "epoch": now])
    }
    let missedAt = before?.missedAt ?? .zero
    if let since = change.unlessMissedSince, missedAt > since {
      throw DFSError(
        .stale, "a member of group \(change.id) missed a chunk at revision \(missedAt), after \(since)",
        metadata: ["group": change.id.description, "missed_at": missedAt.description])
    }
    try transaction.checkPolicy(change.policy)
    let members = change.slots.compactMap(\.node)
    guard change.slots.count == Int(change.policy.replicas), Set(members).count == members.count else {
      throw DFSError(
        .invalidArgument, "group \(change.id) needs one slot for each replica, and different members")
    }
    guard before == nil || before?.policy == change.policy else {
      throw DFSError(.invalidArgument, "the policy of group \(change.id) can not be changed")
    }
    for member in members {
      guard let node = try transaction.nodeRow(member), node.state != .removed else {
        throw DFSError(
          .failedPrecondition, "node \(member) is not registered: it can be no member of a group")
      }
    }
    if let before { try checkNewcomers(change, before, in: &transaction) }
    let epoch = before?.epoch.next ?? .first(inIncarnation: transaction.context.incarnation)
    let group = PlacementGroup(
      id: change.id, epoch: epoch, policy: change.policy, slots: change.slots, missedAt: missedAt,
      countsFrom: before?.countsFrom(with: members, at: epoch) ?? [:],
      doubted: (before?.doubted ?? []).subtracting(
        change.slots.filter { $0.state == .full }.compactMap(\.node)))
    // Commits count the holders of their segments again, unless nobody can count less than before.
    if !group.countsAll(of: before) { transaction.membersChanged() }
    try transaction.put(GroupRecord(group), at: Keys.group(change.id))
    return epoch
  }
}

extension ChangeGroups {
  /// Who joins a group that has chunks lacks them, whatever the plan was made on: a commit may have come between.
  private func checkNewcomers(
    _ change: Change, _ before: PlacementGroup, in transaction: inout Transaction
  ) throws {
    let members = Set(before.members)
    let full = change.slots.filter { $0.state == .full }.compactMap(\.node)
    guard let newcomer = full.first(where: { !members.contains($0) }),
      try transaction.hasChunks(change.id)
    else { return }
    throw DFSError(
      .stale, "group \(change.id) has chunks that node \(newcomer) lacks: it can join only to be filled",
      metadata: ["group": change.id.description, "node": newcomer.description])
  }
}

extension Transaction {
  /// Whether versions or sealed segments name a chunk of the group, those of this round among them.
  fileprivate mutating func hasChunks(_ group: GroupID) throws -> Bool {
    let prefix = Keys.chunks(of: group)
    if try !changes.first(1, from: prefix, withPrefix: prefix).isEmpty { return true }
    var isNamed = false
    try changes.forEachChange { key, old, new in
      for case .put(let derived, _) in try DerivedIndex.changes(key, from: old, to: new)
      where derived.starts(with: prefix) { isNamed = true }
    }
    return isNamed
  }
}

extension GroupEpoch {
  /// Apart for each incarnation: nodes may have promised to refuse transfers below an epoch that only rounds knew
  /// which a restore has lost. No group is changed so often in one incarnation.
  static let incarnationStep: UInt64 = 1 << 32

  /// Of a group that is opened.
  static func first(inIncarnation incarnation: UInt16) -> GroupEpoch {
    GroupEpoch(rawValue: (max(1, UInt64(incarnation)) - 1) * incarnationStep + 1)
  }
}

extension PlacementGroup {
  /// Who joins at `epoch` counts from then on, though it may have been a member before.
  fileprivate func countsFrom(with members: [NodeID], at epoch: GroupEpoch) -> [NodeID: GroupEpoch] {
    let kept = Set(self.members)
    return members.reduce(into: [:]) { $0[$1] = kept.contains($1) ? countsFrom[$1] : epoch }
  }

  /// Whether every node that counted as a holder of the group's chunks counts now.
  fileprivate func countsAll(of before: PlacementGroup?) -> Bool {
    guard let before else { return true }
    return Set(members).isSuperset(of: before.members)
  }
}
