package import DFSCore
package import DFSJobs
package import DFSMetadata
import DFSObservability
package import DFSTransport
package import Logging
import Metrics
import Synchronization

/// The check: compares what the members of each group have with what the metadata knows, each group once in a
/// period. What a node has and nothing knows is condemned, a member that lacks a living chunk is marked
/// behind, a chunk that nobody has is counted and named.
///
/// A step compares one window of at most 10,000 ids of one group. While the namespace is held the check only
/// looks. `run` begins a new check that goes through without pauses. So does a node that was drained while no
/// check has ended yet, for it can be removed only after one.
package struct SweepGroups: Job {
  package let name = "sweep_groups"
  package let what = "Compares what the nodes have of each group with what the metadata knows."
  private static let page = NodeInventories.largestPage
  /// How long nobody notices before the first check that it is asked for.
  private static let lookEvery = Duration.seconds(2)

  private final class Walk: Sendable {
    let state: Mutex<SweepWalk>
    init(_ walk: SweepWalk) { state = Mutex(walk) }
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let groups: GroupKeeper
  private let inventories: NodeInventories
  private let disk: BlockingThreads
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant
  private let walk: Walk

  package init(
    namespace: Namespace, cluster: Cluster, groups: GroupKeeper, channels: NodeChannels,
    disk: BlockingThreads, period: Duration, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.groups = groups
    inventories = NodeInventories(epoch: namespace.epoch, channels: channels)
    self.disk = disk
    self.logger = logger
    self.now = now
    walk = Walk(SweepWalk(period: period, startedAt: now()))
  }

  package var progress: JobProgress? {
    walk.state.withLock { $0.progress }.map {
      JobProgress(done: UInt64($0.done), total: UInt64($0.total), unit: "groups")
    }
  }

  package func beginPass() { walk.state.withLock { $0.hurry() } }

  package func step() async throws -> Pace {
    // A node that is drained can be removed after the first check.
    let isAwaited = walk.state.withLock { $0.canHurryFirst } && cluster.withState { $0.hasDrainedNode }
    let next = told { walk in
      if isAwaited { walk.hurryFirst() }
      return walk.next(now: now()) { cluster.withState { $0.table.groups.keys.sorted() } }
    }
    guard case .window(let visit) = next else {
      guard case .wait(let pause) = next else { return .atOnce }
      let hasEnded = walk.state.withLock { $0.last != nil }
      return .after(hasEnded ? pause : min(pause, Self.lookEvery))
    }
    await compare(visit)
    let pause = walk.state.withLock { $0.pause }
    return pause > .zero ? .after(pause) : .atOnce
  }

  /// Compares one window, acts on what is found, and tells the walk.
  private func compare(_ visit: SweepWalk.Visit) async {
    do {
      guard let row = row(visit.group), let plan = try await plan(visit, row) else {
        return told { $0.passOver(visit, now: now()) }
      }
      guard let findings = try await findings(plan) else { return told { $0.again(visit, now: now()) } }
      try await act(on: findings, of: visit.group)
      told { $0.swept(visit, to: plan.end, findings, now: now()) }
    } catch {
      // A member that does not answer, or knows a later row: the group's turn comes again.
      logger.debug(
        "a group can not be checked now", metadata: ["group": "\(visit.group)", "error": "\(error)"])
      told { $0.passOver(visit, now: now()) }
    }
  }

  /// Tells the walk something, and everybody when a check has ended with it.
  private func told<Result: Sendable>(_ what: (inout SweepWalk) -> Result) -> Result {
    let (result, ended) = walk.state.withLock { walk in
      let before = walk.last
      let result = what(&walk)
      return (result, walk.last == before ? nil : walk.last)
    }
    if let ended { report(ended) }
    return result
  }

  private func report(_ last: CheckResult) {
    cluster.withState { $0.checks.ended(last) }
    Gauge(label: MetricNames.coordinatorMissingChunksTotal).record(Int64(clamping: last.missing))
    logger.info(
      "a check of all groups has ended",
      metadata: [
        "groups": "\(last.groups)", "skipped": "\(last.skippedGroups)", "chunks": "\(last.chunks)",
        "missing": "\(last.missing)", "orphans": "\(last.orphans)", "incomplete": "\(last.incompleteMembers)",
      ])
  }

  /// The row of a group whose members are all in contact.
  private func row(_ group: GroupID) -> PlacementGroup? {
    cluster.withState { state in
      guard let row = state.table[group], !row.members.isEmpty,
        row.members.allSatisfy({ state.membership[$0]?.isInContact == true })
      else { return nil }
      return row
    }
  }

  /// First what the metadata names, then what the members have.
  private func plan(_ visit: SweepWalk.Visit, _ row: PlacementGroup) async throws -> SweepPlan? {
    let namespace = namespace
    let named = try await disk.run {
      let view = try namespace.view()
      let chunks = try view.chunks(of: visit.group, after: visit.after, limit: Self.page)
      return SweepPlan.Named(
        chunks: chunks, references: try view.references(of: chunks), more: chunks.count == Self.page)
    }
    let inventories = try await withThrowingTaskGroup(of: (NodeID, InventoryPage).self) { group in
      for node in row.members {
        group.addTask {
          let page = try await self.inventories.page(
            of: row.id, at: row.epoch, on: node, after: visit.after, limit: Self.page)
          return (node, page)
        }
      }
      return try await group.reduce(into: [NodeID: InventoryPage]()) { $0[$1.0] = $1.1 }
    }
    return SweepPlan(row: row, named: named, inventories: inventories)
  }

  /// Last what the metadata says now; `nil` when the row has changed meanwhile.
  private func findings(_ plan: SweepPlan) async throws -> SweepPlan.Findings? {
    let namespace = namespace
    return try await disk.run {
      let view = try namespace.view()
      guard try view.group(plan.row.id)?.epoch == plan.row.epoch else { return nil }
      return plan.findings(try view.liveness(of: plan.questions, in: plan.row.id))
    }
  }

  private func act(on findings: SweepPlan.Findings, of group: GroupID) async throws {
    for (node, chunks) in findings.lacking.sorted(by: { $0.key < $1.key }) {
      try await groups.markBehind(
        node, [group], because: "a check found \(chunks.count) chunks missing, the first is \(chunks[0])")
    }
    if let first = findings.missing.first {
      logger.error(
        "no member has living chunks",
        metadata: ["group": "\(group)", "chunks": "\(findings.missing.count)", "first": "\(first)"])
    }
    guard !findings.orphans.isEmpty, !namespace.isHeld else { return }
    try await namespace.condemn(findings.orphans, of: group, holders: findings.holders, logger)
  }
}

extension Namespace {
  /// Condemns orphans in rounds, as many at once as a record takes.
  func condemn(
    _ orphans: [ChunkID], of group: GroupID, holders: [NodeID], _ logger: Logger
  ) async throws {
    for start in stride(from: 0, to: orphans.count, by: Limits.orphansPerRecord) {
      let part = Array(orphans[start..<min(start + Limits.orphansPerRecord, orphans.count)])
      let settled = try await mutate(CondemnOrphans(group: group, chunks: part, holders: holders))
      Counter(label: MetricNames.coordinatorOrphansTotal).increment(by: Int64(settled.outcome.condemned))
      logger.info(
        "orphans condemned",
        metadata: [
          "group": "\(group)", "chunks": "\(settled.outcome.condemned)", "first": "\(part[0])",
          "nodes": "\(holders.map(\.description).joined(separator: " "))",
        ])
    }
  }
}
