import DFSCore
import DFSMetadata

/// One way through all chunks of a group, page by page: what it set out from, how far it is, and what it
/// found. A value: it says when members may be called full, and never does anything itself.
///
/// A pass begins with a revision and the row's epoch. When it comes to its end without a flaw for a member,
/// that member has every living chunk that was sealed before that revision, and `ChangeGroups` refuses to
/// make it full if it missed or lost one since, or if the row is another one. What is not sealed yet only the
/// members know, so all that are not out must have been asked.
struct ReconcilePass: Sendable {
  let row: PlacementGroup
  /// Members that are to become full; or the heir alone.
  private(set) var targets: Set<NodeID>
  /// Those that it would have as well, if they had not been busy with other groups. They get another pass.
  private(set) var leftOut: Set<NodeID> = []
  /// The node that is to take over a slot from a member that has everything, and is no member yet.
  let heir: NodeID?
  /// Whose slot that is; `nil` for the only one.
  let predecessor: NodeID?
  /// Before the first inventory.
  let since: Revision
  /// Chunks that the pass before this one has looked for in vain.
  let missedBefore: Set<ChunkID>
  /// Everything up to here is done.
  private(set) var after: ChunkID?
  /// Why a target can not become full by this pass.
  private(set) var flaws: [NodeID: String] = [:]
  private(set) var missed: Set<ChunkID> = []
  /// Open uploads that sealed some of these.
  private(set) var missedUploads: Set<InodeID> = []
  private(set) var wanted: UInt64 = 0
  /// Replicas that nodes have looked up on their disks for it.
  private(set) var looks = 0
  /// Replicas that it had made.
  private(set) var copied = 0
  /// Who could not be asked on some page.
  private(set) var unheard = Unheard()

  /// Chunks that are remembered as not found; with more, nobody is called full.
  static let mostMissed = 100_000

  /// Nodes that may have chunks of the group and did not tell.
  struct Unheard: Sendable, Hashable {
    /// They may answer at any time.
    var silent: Set<NodeID> = []
    /// Members that are out, and keep their slots because nobody else is full.
    var gone: Set<NodeID> = []
  }

  init(
    row: PlacementGroup, targets: Set<NodeID>, heir: NodeID? = nil, replacing predecessor: NodeID? = nil,
    since: Revision, missedBefore: Set<ChunkID> = []
  ) {
    self.row = row
    self.targets = targets
    self.heir = heir
    self.predecessor = predecessor
    self.since = since
    self.missedBefore = missedBefore
  }

  /// For the group as it is. An heir is looked after once no member has anything to catch up with.
  init(
    row: PlacementGroup, _ membership: Membership, heir: NodeID?, replacing predecessor: NodeID? = nil,
    since: Revision
  ) {
    let targets = Self.targets(of: row, membership)
    guard targets.isEmpty, let heir, !row.members.contains(heir), membership[heir]?.isEligible == true,
      row.slots.count == 1 || predecessor.map({ row.members.contains($0) }) == true
    else {
      self.init(row: row, targets: targets, since: since)
      return
    }
    self.init(row: row, targets: [heir], heir: heir, replacing: predecessor, since: since)
  }

  /// Another one from the beginning.
  func again(since revision: Revision) -> ReconcilePass {
    var pass = ReconcilePass(
      row: row, targets: targets, heir: heir, replacing: predecessor, since: revision, missedBefore: missed)
    (pass.leftOut, pass.looks, pass.copied) = (leftOut, looks, copied)
    return pass
  }

  /// Whose inventories it takes.
  var holders: [NodeID: GroupInventory.Role] {
    var holders: [NodeID: GroupInventory.Role] = [:]
    for slot in row.slots {
      if let node = slot.node { holders[node] = slot.state == .full ? .full : .partial }
    }
    if let heir { holders[heir] = .partial }
    return holders
  }

  /// Members in contact that have something to catch up with. A suspect one waits for a person.
  static func targets(of row: PlacementGroup, _ membership: Membership) -> Set<NodeID> {
    Set(
      row.slots.filter { $0.state == .filling || $0.state == .behind }.compactMap(\.node).filter {
        membership[$0].map { $0.isInContact && !$0.record.isSuspect } ?? false
      })
  }

  /// What is the same as long as a pass may go on, and what another one would begin with.
  struct Basis: Sendable, Hashable {
    var epoch: GroupEpoch
    var targets: Set<NodeID>
    var heir: NodeID?
    var predecessor: NodeID?
  }

  var basis: Basis {
    Basis(epoch: row.epoch, targets: targets.union(leftOut), heir: heir, predecessor: predecessor)
  }

  /// It, where `fresh` is what would begin now, without targets that are none any more; `nil` when it has to
  /// begin anew, for the group is another one or has another target.
  func continued(as fresh: ReconcilePass) -> ReconcilePass? {
    guard row.epoch == fresh.row.epoch, heir == fresh.heir, predecessor == fresh.predecessor,
      fresh.targets.isSubset(of: targets.union(leftOut))
    else { return nil }
    var pass = self
    pass.targets.formIntersection(fresh.targets)
    return pass.targets.isEmpty ? nil : pass
  }

  /// From now on it works for the other targets only, if there are any. It may at any page: what it has found
  /// out for them holds.
  mutating func leaveOut(_ busy: Set<NodeID>) {
    let rest = targets.subtracting(busy)
    guard !rest.isEmpty else { return }
    leftOut.formUnion(targets.intersection(busy))
    targets = rest
  }

  mutating func looked(at replicas: Int) { looks += replicas }
  mutating func made(_ replicas: Int) { copied += replicas }

  mutating func flaw(_ node: NodeID, _ why: String) { if flaws[node] == nil { flaws[node] = why } }

  /// Whose inventories are lacking when only `answered` have given theirs.
  func unheard(but answered: some Sequence<NodeID>, _ membership: Membership) -> Unheard {
    let rest = Set(holders.keys).subtracting(answered)
    let gone = rest.filter { membership[$0]?.isGone ?? true }
    return Unheard(silent: rest.subtracting(gone), gone: gone)
  }

  /// Takes what a page brought, and who could not be asked for it.
  mutating func took(_ plan: ReconcilePage.Plan, unheard: Unheard) {
    wanted += UInt64(plan.wanted)
    self.unheard.silent.formUnion(unheard.silent)
    self.unheard.gone.formUnion(unheard.gone)
    missed.formUnion(plan.unsourced.prefix(max(0, Self.mostMissed + 1 - missed.count)))
    missedUploads.formUnion(plan.unsourcedUploads)
    after = plan.end
  }

  enum Verdict: Sendable, Hashable {
    /// These may become full; `lost` is what nobody has.
    case promote([NodeID], lost: [ChunkID])
    /// Once more, from the beginning: chunks were not found for the first time.
    case lookAgain
    /// Nobody can become full now, for these reasons; try again later.
    case wait([NodeID: String])
  }

  /// At the end of the group.
  var verdict: Verdict {
    if !missed.isEmpty {
      let count = missed.count
      guard count <= Self.mostMissed else {
        return waiting("more than \(Self.mostMissed) chunks are nowhere to be found")
      }
      let absent = unheard.silent.union(unheard.gone)
      guard absent.isEmpty else {
        return waiting("\(count) chunks are missing, and nodes \(absent.names) can not be asked for them")
      }
      guard missed.isSubset(of: missedBefore) else { return .lookAgain }
      // A commit counts full members for every sealed chunk: it would acknowledge what is lost.
      guard missedUploads.isEmpty else {
        return waiting(
          "chunks of uploads \(missedUploads.sorted().map(\.description).joined(separator: ", ")) are lost, "
            + "which are not committed yet")
      }
    }
    // What a silent member has of uploads under way is in nobody's metadata yet. A target that lacks it and is
    // called full would be counted by the receipt of the copy that it lost.
    guard unheard.silent.isEmpty else {
      return waiting("nodes \(unheard.silent.names) can not be asked what they have of uploads under way")
    }
    let able = targets.filter { flaws[$0] == nil }
    guard !able.isEmpty else { return .wait(flaws) }
    return .promote(able.sorted(), lost: missed.sorted())
  }

  /// What kept the pass, which is at its end, from making all its targets full.
  func obstacle(_ membership: Membership) -> RepairQueue.Obstacle {
    let absent = unheard.silent.filter { membership[$0]?.isInContact != true }
    let isAbsenceAlone =
      !absent.isEmpty && absent == unheard.silent && missed.isEmpty && targets.allSatisfy { flaws[$0] == nil }
    return RepairQueue.Obstacle(
      absent: absent, isAbsenceAlone: isAbsenceAlone, basis: basis, looks: looks, copied: copied)
  }

  private func waiting(_ why: String) -> Verdict {
    .wait(flaws.merging(targets.map { ($0, why) }) { first, _ in first })
  }

  /// The change that makes `nodes` full; or makes the heir a member, in place of its predecessor. It has almost
  /// everything then, and the next pass gives it the rest from that one or from other members.
  func promotion(of nodes: [NodeID]) -> ChangeGroups.Change {
    if let heir {
      let slots = row.slots.map { slot in
        predecessor == nil || slot.node == predecessor ? GroupSlot(node: heir, state: .filling) : slot
      }
      return ChangeGroups.Change(id: row.id, expected: row.epoch, policy: row.policy, slots: slots)
    }
    var slots = row.slots
    for index in slots.indices {
      guard let node = slots[index].node, nodes.contains(node) else { continue }
      slots[index] = GroupSlot(node: node, state: .full)
    }
    return ChangeGroups.Change(
      id: row.id, expected: row.epoch, policy: row.policy, slots: slots, unlessMissedSince: since)
  }
}

extension Set<NodeID> {
  fileprivate var names: String { sorted().map(\.description).joined(separator: ", ") }
}
