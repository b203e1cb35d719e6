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

  private struct State {
    var leveller = Leveller()
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
      JobProgress(
        done: $0.leveller.moved, total: $0.leveller.moved + UInt64($0.leveller.chosen.count), unit: "places")
    }
  }

  package func step() async throws -> Pace {
    let view = cluster.withState { Leveller.View($0) }
    let (isHeld, time) = (namespace.isHeld, now())
    let moves = memory.state.withLock { state in
      state.leveller.moves(view, isHeld: isHeld, rules: rules, now: time, using: &state.generator)
    }
    cluster.withState { $0.move(moves) }
    return .after(moves.isEmpty ? .seconds(5) : .seconds(1))
  }
}
