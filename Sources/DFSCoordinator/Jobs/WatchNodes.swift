import DFSCore
package import DFSJobs
import DFSMetadata
import DFSObservability
import Metrics
import Synchronization

/// Four times a second: declares silent nodes down and out, makes that durable, ends what waits for them, and
/// has the groups planned again when nodes are gone, drain or joined.
package struct WatchNodes: Job {
  package let name = "watch_nodes"
  package let what = "Notices nodes that went away or came back, and gives groups their slots."
  package let isVital = true
  private let service: CoordinatorService
  private let channels: NodeChannels
  private let state = WatchState()

  package init(service: CoordinatorService, channels: NodeChannels) {
    self.service = service
    self.channels = channels
  }

  package func step() async throws -> Pace {
    let now = service.now()
    let (transitions, occasion, unsaved) = service.cluster.withState { state in
      let transitions = state.membership.tick(now: now)
      return (transitions, PlanOccasion(state), state.membership.unsaved.sorted())
    }
    service.log(transitions)
    for transition in transitions where transition.to != .up { channels.abandon(transition.node) }
    if state.isReportDue(now) { report() }
    for node in unsaved { try await save(node) }
    let hasSettled = now - service.startedAt >= service.configuration.settleTime
    if hasSettled, state.isDue(occasion, now: now) {
      do {
        try await plan(occasion.eligible)
        state.planned(occasion, now: now)
      } catch let error as DFSError where error.code == .stale || error.code == .unavailable {
        // Groups or nodes changed under the plan. Noticing who went away must not wait for a better moment.
        service.logger.info("groups could not be planned now", metadata: ["error": "\(error)"])
        return .after(.seconds(1))
      }
    }
    return .after(.milliseconds(250))
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
    var planned: PlanOccasion?
    var plannedAt: ContinuousClock.Instant?
    var reportedAt: ContinuousClock.Instant?
  }
  private let state = Mutex(State())

  func isReportDue(_ now: ContinuousClock.Instant) -> Bool {
    state.withLock { state in
      if let last = state.reportedAt, now - last < .seconds(1) { return false }
      state.reportedAt = now
      return true
    }
  }

  /// True when there is another occasion than at the last plan. The eligible nodes must have been the same
  /// for two seconds, so that nodes that start together are planned for together; a node that is gone or
  /// drains is replaced at once.
  func isDue(_ occasion: PlanOccasion, now: ContinuousClock.Instant) -> Bool {
    state.withLock { state in
      if state.eligible != occasion.eligible || state.changedAt == nil {
        state.eligible = occasion.eligible
        state.changedAt = now
      }
      guard occasion != state.planned else { return false }
      if !occasion.gone.isSubset(of: state.planned?.gone ?? []) { return true }
      if !occasion.draining.isEmpty, state.plannedAt.map({ now - $0 >= .seconds(1) }) ?? true { return true }
      return state.changedAt.map { now - $0 >= .seconds(2) } ?? false
    }
  }

  func planned(_ occasion: PlanOccasion, now: ContinuousClock.Instant) {
    state.withLock { state in
      state.planned = occasion
      state.plannedAt = now
    }
  }
}
