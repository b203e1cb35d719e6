import DFSCore
package import DFSJobs
import DFSMetadata
import DFSObservability
import Metrics
import Synchronization

/// Once a second: declares silent nodes down and out, makes that durable, and has the groups planned again
/// when the eligible nodes have changed and settled.
package struct WatchNodes: Job {
  package let name = "watch_nodes"
  package let what = "Notices nodes that went away or came back, and gives groups their slots."
  package let isVital = true
  private let service: CoordinatorService
  private let state = WatchState()

  package init(service: CoordinatorService) { self.service = service }

  package func step() async throws -> Pace {
    let now = service.now()
    let (transitions, eligible) = service.cluster.withState { state in
      let transitions = state.membership.tick(now: now)
      return (transitions, Set(state.membership.present.filter(\.isEligible).map(\.id)))
    }
    service.log(transitions)
    report()
    for node in service.cluster.withState({ $0.membership.unsaved.sorted() }) { try await save(node) }
    if state.isSettled(eligible, now: now) { try await plan(eligible) }
    return .after(.seconds(1))
  }

  private func save(_ node: NodeID) async throws {
    do {
      try await service.registrar.save(node)
    } catch let error as DFSError where error.code == .unavailable {
      // It registers just now: looked at again with the next step.
    }
  }

  /// The cluster's own policy gets its groups before the first write asks; others when they are first needed.
  private func plan(_ eligible: Set<NodeID>) async throws {
    let standard = service.configuration.policy
    if eligible.count >= Int(standard.replicas) { try await service.groups.require(standard) }
    for replicas in 1...Limits.mostReplicas {
      let isUsed = service.cluster.withState { !$0.table.groups(replicas: replicas).isEmpty }
      if isUsed { try await service.groups.refresh(PlacementPolicy(replicas: replicas)) }
    }
  }

  private func report() {
    let health = service.cluster.health()
    for (life, count) in [("up", health.up), ("down", health.down), ("out", health.out)] {
      Gauge(label: MetricNames.coordinatorNodesTotal, dimensions: [("state", life)]).record(count)
    }
    Gauge(label: MetricNames.coordinatorUploadsOpen).record(
      Int64(clamping: service.namespace.counts.openUploads))
  }
}

/// What the watch remembers from step to step.
private final class WatchState: Sendable {
  private struct State {
    var eligible: Set<NodeID> = []
    var changedAt: ContinuousClock.Instant?
  }
  private let state = Mutex(State())

  /// True when the set of nodes has been the same for two seconds: nodes that start together are planned for
  /// together.
  func isSettled(_ eligible: Set<NodeID>, now: ContinuousClock.Instant) -> Bool {
    state.withLock { state in
      if state.eligible != eligible || state.changedAt == nil {
        state.eligible = eligible
        state.changedAt = now
      }
      return state.changedAt.map { now - $0 >= .seconds(2) } ?? false
    }
  }
}
