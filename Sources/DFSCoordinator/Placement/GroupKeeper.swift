package import DFSCore
package import DFSMetadata
package import DFSTransport
package import Logging

/// Keeps the slot table planned: opens the groups of a policy when they are first needed, and plans again
/// when nodes became eligible, went away or drain. One plan at a time.
package actor GroupKeeper {
  private let namespace: Namespace
  private let cluster: Cluster
  private let disk: BlockingThreads
  private let configuration: CoordinatorConfiguration
  private let age: @Sendable () -> Duration
  private let clock: any Clock<Duration>
  private let logger: Logger
  private var running: Task<Void, any Error>?
  /// What each policy's table was last planned for.
  private var planned: [UInt8: PlanOccasion] = [:]
  /// Groups that had no chunk when they were looked at. Whatever came since was allocated here, which is noted
  /// in the cluster's state, so they are not looked at again: a large table has tens of thousands of them.
  private var foundEmpty: Set<GroupID> = []
  private var generator = SystemRandom()

  /// `age` is the time since the coordinator's start.
  package init(
    namespace: Namespace, cluster: Cluster, disk: BlockingThreads, configuration: CoordinatorConfiguration,
    age: @escaping @Sendable () -> Duration, clock: any Clock<Duration>, logger: Logger
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.disk = disk
    self.configuration = configuration
    self.age = age
    self.clock = clock
    self.logger = logger
  }

  /// Returns when the policy has groups. Throws `.failedPrecondition` with advice where there are too few
  /// nodes for it, `.unavailable` where enough are known but not here yet.
  package func require(_ policy: PlacementPolicy) async throws {
    guard isMissing(policy) else { return }
    // Nodes that are started with the coordinator come one after another; groups that were opened for the
    // first two of three would stay a member short until the third has come, and have their chunks repaired.
    while age() < configuration.settleTime, eligible.count < Int(policy.replicas), isMissing(policy) {
      try await clock.sleep(for: .milliseconds(50))
    }
    try await update(policy)
  }

  private nonisolated func isMissing(_ policy: PlacementPolicy) -> Bool {
    cluster.withState { $0.table.groups(replicas: policy.replicas).isEmpty }
  }

  private nonisolated var eligible: Set<NodeID> {
    cluster.withState { Set($0.membership.present.filter(\.isEligible).map(\.id)) }
  }

  /// Plans again if there is another reason to than at the last plan.
  package func refresh(_ policy: PlacementPolicy) async throws {
    guard planned[policy.replicas] != cluster.withState({ PlanOccasion($0) }) else { return }
    try await update(policy)
  }

  private func update(_ policy: PlacementPolicy) async throws {
    while let running { _ = try? await running.value }
    let task = Task {
      // Before the task is over, or a waiter that comes first would wait for it again and again.
      defer { self.running = nil }
      for _ in 0..<3 {
        // A seal may have marked a member behind since: the rows are known again then.
        do { return try await self.plan(policy) } catch let error as DFSError where error.code == .stale {}
      }
      try await self.plan(policy)
    }
    running = task
    try await task.value
  }

  private func plan(_ policy: PlacementPolicy) async throws {
    try await findUsedGroups(policy)
    let (table, membership, used, occasion) = cluster.withState {
      ($0.table, $0.membership, $0.used, PlanOccasion($0))
    }
    let planner = GroupPlanner(
      policy: policy, membership: membership, rules: configuration.placement,
      isEmpty: { !used.contains($0) })
    let members = membership.present
    let changes: [ChangeGroups.Change]
    do {
      changes = try planner.plan(table, using: &generator)
    } catch let error as DFSError where members.count >= policy.writeQuorum {
      throw DFSError.tooFewNodes(
        "\(error.message); \(members.count) are known, the others have not come back yet",
        metadata: error.metadata)
    }
    for start in stride(from: 0, to: changes.count, by: Limits.groupsPerChange) {
      try await make(Array(changes[start..<min(start + Limits.groupsPerChange, changes.count)]))
    }
    if policy.replicas == 1 {
      let (table, before) = cluster.withState { ($0.table, $0.heirs) }
      let heirs = planner.heirs(table, before: before, using: &generator)
      cluster.withState { state in
        state.heirs = state.heirs.filter { state.predecessors[$0.key] != nil }.merging(heirs) { $1 }
      }
    }
    planned[policy.replicas] = occasion
    guard !changes.isEmpty else { return }
    let opened = changes.count { $0.expected == nil }
    logger.info(
      "planned groups",
      metadata: [
        "replicas": "\(policy.replicas)", "nodes": "\(planner.candidates.count)", "opened": "\(opened)",
        "changed": "\(changes.count - opened)",
        "vacant": "\(changes.reduce(0) { $0 + $1.slots.count { $0.state == .vacant } })",
      ])
  }

  /// Makes changes durable and known: as they are stored, for a row says more than a change does. After `.stale`
  /// the rows are known as they are, too, for another plan.
  package func make(_ changes: [ChangeGroups.Change]) async throws {
    do {
      _ = try await namespace.mutate(ChangeGroups(changes: changes))
    } catch let error as DFSError where error.code == .stale {
      try await learn(changes.map(\.id))
      throw error
    }
    try await learn(changes.map(\.id))
  }

  /// Notes durably that `node` lacks chunks of these groups, as far as it is a member of them: reconciliation
  /// looks for what it lacks, and gets it. The one way to say so, whoever found out. `reason` is for the log.
  package func markBehind(
    _ node: NodeID, _ groups: some Sequence<GroupID>, _ cause: MarkBehind.Cause = .lost,
    because reason: String
  ) async throws {
    let all = Set(groups).sorted()
    var marked: [GroupID] = []
    for start in stride(from: 0, to: all.count, by: Limits.groupsPerChange) {
      let part = Array(all[start..<min(start + Limits.groupsPerChange, all.count)])
      marked += try await namespace.mutate(MarkBehind(node: node, groups: part, cause: cause)).outcome.groups
    }
    guard !marked.isEmpty else { return }
    try await learn(marked)
    logger.notice(
      "a member lacks chunks",
      metadata: ["node": "\(node)", "groups": "\(marked.count)", "cause": "\(reason)"])
  }

  /// Reads rows again.
  package func learn(_ groups: [GroupID]) async throws {
    let namespace = namespace
    cluster.apply(try await disk.run { try namespace.view().groups(groups) })
  }

  /// Finds out which groups have chunks, so that only those without any are moved.
  private func findUsedGroups(_ policy: PlacementPolicy) async throws {
    let known = foundEmpty
    let unknown = cluster.withState { state in
      state.table.groups(replicas: policy.replicas).filter {
        !state.used.contains($0) && !known.contains($0)
      }
    }
    guard !unknown.isEmpty else { return }
    let namespace = namespace
    let used = try await disk.run {
      let view = try namespace.view()
      return try unknown.filter { try !view.chunks(of: $0, after: nil, limit: 1).isEmpty }
    }
    cluster.markUsed(used)
    foundEmpty.formUnion(Set(unknown).subtracting(used))
  }
}
