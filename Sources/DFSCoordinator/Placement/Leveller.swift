import DFSCore
import DFSMetadata

/// Which slots of groups with chunks change their node, and when: while a node is away or any group lacks a copy
/// none, and not for a while after. The deciding half of `LevelSlots`, a value with injected time and chance.
struct Leveller: Sendable {
  /// Moves that are under way: their heirs get copies.
  private(set) var chosen: [GroupID: GroupPlanner.Move] = [:]
  /// Their heirs are members now, and get the rest.
  private var handedOver: Set<GroupID> = []
  private(set) var moved: UInt64 = 0
  private var calmSince: ContinuousClock.Instant?
  /// A cluster that has just healed, or that nodes leave and join, is left alone for so long.
  private let calm: Duration

  init(calm: Duration = .seconds(60)) { self.calm = calm }

  /// What there is to level.
  struct View: Sendable {
    var table: SlotTable
    var membership: Membership
    var used: Set<GroupID>
    var occasion: PlanOccasion

    init(_ state: Cluster.State) {
      (table, membership, used) = (state.table, state.membership, state.used)
      occasion = PlanOccasion(state)
    }
  }

  /// All moves that are to be under way now. `isHeld` says that the metadata was restored and nobody has released
  /// it yet.
  mutating func moves(
    _ view: View, isHeld: Bool, rules: GroupPlanner.Rules, now: ContinuousClock.Instant,
    using random: inout some RandomNumberGenerator
  ) -> [GroupID: GroupPlanner.Move] {
    let (table, used, occasion) = (view.table, view.used, view.occasion)
    settle(table)
    let isCalm = !isHeld && occasion.gone.isEmpty && occasion.draining.isEmpty
    let isWhole = table.vacant.isEmpty && handedOver.isSuperset(of: table.unfinished)
    let areThere = view.membership.present.allSatisfy { $0.isInContact || table.slotCount(of: $0.id) == 0 }
    calmSince = isCalm && isWhole && areThere ? calmSince ?? now : nil
    guard let since = calmSince, now - since >= calm else { return [:] }
    var moves: [GroupID: GroupPlanner.Move] = [:]
    for replicas in 2...Limits.mostReplicas where !table.groups(replicas: replicas).isEmpty {
      let planner = GroupPlanner(
        policy: PlacementPolicy(replicas: replicas), membership: view.membership, rules: rules,
        isEmpty: { !used.contains($0) })
      let before = chosen.filter { table[$0.key]?.policy.replicas == replicas }
      moves.merge(planner.moves(table, before: before, using: &random)) { $1 }
    }
    chosen = moves
    return moves
  }

  /// Notes which of the moves have been made.
  private mutating func settle(_ table: SlotTable) {
    for (group, move) in chosen where table[group]?.members.contains(move.to) == true {
      chosen[group] = nil
      handedOver.insert(group)
      moved += 1
    }
    handedOver.formIntersection(table.unfinished)
  }
}

extension Cluster.State {
  /// Sets who takes over slots of groups of several replicas.
  mutating func move(_ moves: [GroupID: GroupPlanner.Move]) {
    for group in predecessors.keys where moves[group] == nil {
      (heirs[group], predecessors[group]) = (nil, nil)
    }
    for (group, move) in moves { (heirs[group], predecessors[group]) = (move.to, move.from) }
  }
}
