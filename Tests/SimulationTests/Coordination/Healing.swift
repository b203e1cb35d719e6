import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// What a coordinator's repair, sweep and search for strays remember: the product's own values.
struct HealingState {
  var queue = RepairQueue()
  var passes: [GroupID: ReconcilePass] = [:]
  var loads: [NodeID: UInt64] = [:]
  let reports = ReplicaReports()
  var sweep: SweepWalk
  var strays: StrayWalk
  /// A storm has no quiet minute: a few seconds are enough.
  var leveller = Leveller(calm: .seconds(10))
  var isSweeping = false
  var isSearching = false

  init(startedAt: ContinuousClock.Instant, sweepPeriod: Duration) {
    sweep = SweepWalk(period: sweepPeriod, startedAt: startedAt)
    strays = StrayWalk(period: sweepPeriod, startedAt: startedAt)
  }
}

extension CoordinatorProcess {
  func startHealing() {
    let isDense = world.scenario.pace == .dense
    if isDense { every(.seconds(1)) { $0.repairGroups() } }
    every(isDense ? .seconds(2) : .hours(6)) { $0.levelSlots() }
    every(isDense ? .seconds(1) : .minutes(5)) { $0.verifyReports() }
    every(isDense ? .seconds(1) : .minutes(30)) { $0.sweepGroups() }
    every(isDense ? .seconds(1) : .days(3)) { $0.sweepStrays() }
  }

  // MARK: level_slots

  func levelSlots() {
    guard isRunning, world.isLevelling else { return }
    let before = healing.leveller.moved
    let moves = healing.leveller.moves(
      cluster.withState { Leveller.View($0) }, isHeld: namespace.isHeld, rules: configuration.placement,
      now: world.instant, using: &world.random)
    world.tally.add("slots moved", Int(healing.leveller.moved - before))
    cluster.withState { $0.move(moves) }
    guard !moves.isEmpty, world.scenario.pace == .sparse else { return }
    world.decided()
    world.schedule(after: .minutes(1)) { [self] in levelSlots() }
  }

  // MARK: What is found out

  /// Notes durably that a member lacks chunks: as `GroupKeeper.markBehind`.
  func markBehind(_ node: NodeID, _ groups: some Sequence<GroupID>) throws {
    let all = Set(groups).sorted()
    for start in stride(from: 0, to: all.count, by: Limits.groupsPerChange) {
      let part = Array(all[start..<min(start + Limits.groupsPerChange, all.count)])
      let marked = try mutate(MarkBehind(node: node, groups: part)).outcome.groups
      learn(try namespace.view().groups(marked))
    }
  }

  /// A node has found replicas of its own bad and moved them aside.
  func found(bad replicas: [ChunkID: GroupID], on node: NodeID) throws {
    guard !replicas.isEmpty else { return }
    let now = world.instant
    cluster.withState { state in _ = state.membership.foundBad(replicas.count, of: node, now: now) }
    try markBehind(node, replicas.values)
  }

  /// A reader has found a replica bad or missing: looked at by `verifyReports`.
  func reported(_ chunk: ChunkID, _ group: GroupID, _ node: NodeID) {
    _ = healing.reports.add([ReplicaReport(chunk: chunk, group: group, node: node, fault: .corrupt)])
  }

  // MARK: verify_reports

  func verifyReports() {
    for report in healing.reports.take(16) {
      order(report.node, timeout: .seconds(20)) { process in
        try process.verify(report.chunk, in: report.group)
      } then: { [self] (result: Result<Void, DFSError>) in
        guard case .failure(let error) = result, error.code == .corrupt || error.code == .notFound else {
          return
        }
        attempt("note a bad replica") {
          let slot = cluster.withState { $0.table[report.group]?.slots.first { $0.node == report.node } }
          guard let slot, error.code == .corrupt || slot.state == .full,
            try namespace.view().reference(of: report.chunk) != nil
          else { return }
          try markBehind(report.node, [report.group])
          _ = healing.reports.confirm(report)
        }
      }
    }
  }
}

extension World {
  /// What is handed over is finished, and nothing else moves.
  func endLevelling() {
    isLevelling = false
    leader?.cluster.withState { $0.move([:]) }
  }
}

extension NodeProcess {
  /// As `StatChunk` with `verify`.
  func verify(_ chunk: ChunkID, in group: GroupID) throws {
    try readWhole(chunk, in: group, root: nil)
  }
}
