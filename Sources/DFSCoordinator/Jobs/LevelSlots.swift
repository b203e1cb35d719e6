package import DFSCore
package import DFSJobs
package import DFSMetadata
import Synchronization

/// Moves slots of groups with chunks from fuller nodes to emptier ones, a few at a time, while nothing is at
/// risk: while a node is away or any group lacks a copy it waits, and a minute longer.
///
/// The node that is to take a slot over is the group's heir: repair copies everything to it while all members
/// stay what they are, and only then does it take the slot, to be given what came in meanwhile. What the former
/// holder has goes as a stray, once every member has read its own copy. Nothing of it is durable: after a
/// restart others are chosen.
package struct LevelSlots: Job {
  package let name = "level_slots"
  package let what = "Moves places of groups from fuller datanodes to emptier ones while nothing is at risk."

  fileprivate struct State {
    var chosen: [GroupID: GroupPlanner.Move] = [:]
    /// Their heirs are members now, and get the rest.
    var handedOver: Set<GroupID> = []
    var moved: UInt64 = 0
    var calmSince: ContinuousClock.Instant?
    var generator = SystemRandom()
  }
  private final class Memory: Sendable {
    let state = Mutex(State())
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let rules: GroupPlanner.Rules
  private let now: @Sendable () -> ContinuousClock.Instant
  private let memory = Memory()

  /// A cluster that has just healed, or that nodes leave and join, is left alone for so long.
  private static let calm = Duration.seconds(60)

  package init(
    namespace: Namespace, cluster: Cluster, rules: GroupPlanner.Rules,
    now: @escaping @Sendable () -> ContinuousClock.Instant
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.rules = rules
    self.now = now
  }

  package var progress: JobProgress? {
    memory.state.withLock {
      JobProgress(done: $0.moved, total: $0.moved + UInt64($0.chosen.count), unit: "places")
    }
  }

  package func step() async throws -> Pace {
    let (table, membership, used, occasion) = cluster.withState {
      ($0.table, $0.membership, $0.used, PlanOccasion($0))
    }
    let (isHeld, time) = (namespace.isHeld, now())
    let moves = memory.state.withLock { state -> [GroupID: GroupPlanner.Move] in
      state.settle(table)
      let isCalm = !isHeld && occasion.gone.isEmpty && occasion.draining.isEmpty
      let isWhole = table.vacant.isEmpty && state.handedOver.isSuperset(of: table.unfinished)
      let areThere = membership.present.allSatisfy { $0.isInContact || table.slotCount(of: $0.id) == 0 }
      state.calmSince = isCalm && isWhole && areThere ? state.calmSince ?? time : nil
      guard let since = state.calmSince, time - since >= Self.calm else { return [:] }
      var moves: [GroupID: GroupPlanner.Move] = [:]
      for replicas in 2...Limits.mostReplicas where !table.groups(replicas: replicas).isEmpty {
        let planner = GroupPlanner(
          policy: PlacementPolicy(replicas: replicas), membership: membership, rules: rules,
          isEmpty: { !used.contains($0) })
        let before = state.chosen.filter { table[$0.key]?.policy.replicas == replicas }
        moves.merge(planner.moves(table, before: before, using: &state.generator)) { $1 }
      }
      state.chosen = moves
      return moves
    }
    cluster.withState { $0.move(moves) }
    return .after(moves.isEmpty ? .seconds(5) : .seconds(1))
  }
}

extension LevelSlots.State {
  /// Notes which of the moves have been made.
  fileprivate mutating func settle(_ table: SlotTable) {
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
  fileprivate mutating func move(_ moves: [GroupID: GroupPlanner.Move]) {
    for group in predecessors.keys where moves[group] == nil {
      (heirs[group], predecessors[group]) = (nil, nil)
    }
    for (group, move) in moves { (heirs[group], predecessors[group]) = (move.to, move.from) }
  }
}
