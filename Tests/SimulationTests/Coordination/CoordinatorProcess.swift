import DFSCore
import DFSKeyValue
import DFSMetadata
import Logging

@testable import DFSCoordinator

/// A running coordinator: the product's namespace, cluster, planner and plans; its calls and jobs as events.
final class CoordinatorProcess {
  let number: Int
  unowned let world: World
  let store: MemoryStore
  let namespace: Namespace
  let cluster: Cluster
  let configuration: CoordinatorConfiguration
  let startedAt: ContinuousClock.Instant
  var isRunning = true
  var pausedUntil: Moment?
  /// What the watch remembers.
  var eligible: Set<NodeID> = []
  var eligibleSince = Moment.start
  var plannedFor: PlanOccasion?
  var plannedAt = Moment.start
  /// Groups that had no chunk when they were looked at.
  var foundEmpty: Set<GroupID> = []
  /// Where the reaper's next step begins.
  var reapedTo: ReapPage?
  var isReaping = false
  /// What was purged lately because the disks were nearly full, and where the next look at the trash begins.
  var pressure = TrashPressure()
  var pressurePosition: DeletionID?
  var healing: HealingState

  static let silence = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }

  /// Takes leadership; throws what the namespace throws.
  init(number: Int, store: MemoryStore, ledger: ObservedLedger, in world: World) throws {
    self.number = number
    self.world = world
    self.store = store
    configuration = world.scenario.coordinatorConfiguration(world.clock)
    ledger.settled = { [unowned world] batch, store in world.settled(batch, in: store, by: number) }
    namespace = try Namespace.open(
      store: store, ledger: ledger, configuration: configuration.namespace, rounds: .caller,
      logger: Self.silence)
    startedAt = world.instant
    healing = HealingState(startedAt: startedAt, sweepPeriod: world.scenario.sweepPeriod.duration)
    let view = try namespace.view()
    var table = SlotTable()
    while true {
      let page = try view.groups(after: table.lastID, limit: 1000)
      for group in page { table.apply(group) }
      if page.count < 1000 { break }
    }
    cluster = Cluster(
      membership: DFSCoordinator.Membership(
        records: try view.nodes(), limits: configuration.membership, startedAt: world.instant),
      table: table)
    let counts = namespace.counts
    if counts.openUploads > 0 || counts.condemned > 0 { cluster.markUsed(table.groups.keys) }
    ledger.fate = { [unowned world] in world.fateOfSettlement() }
  }

  var host: Host { .coordinator(number) }
  var epoch: Epoch { namespace.epoch }

  // MARK: How calls are answered

  /// What `serve` gives, or the error that the caller sees. A process whose namespace has ended dies.
  func answer<Answer>(_ serve: () throws -> Answer) -> Result<Answer, DFSError> {
    guard isRunning else { return .failure(DFSError(.unavailable, "the coordinator is gone")) }
    do { return .success(try serve()) } catch {
      return .failure(DFSError(wrapping: error, "a call failed in a way nobody foresaw"))
    }
  }

  /// As `Namespace.mutate`. An outcome that nobody knows ends the process.
  func mutate<M: Mutation>(_ mutation: M, id: RequestID? = nil) throws -> Settled<M.Outcome> {
    do { return try namespace.mutateNow(mutation, id: id) } catch let error as DFSError {
      if error.code == .outcomeUnknown, error.metadata["floor"] == nil { world.crash(self) }
      throw error
    }
  }

  // MARK: Nodes

  struct Terms {
    var cluster: ClusterID
    var epoch: Epoch
    var revision: Revision
    var receiptKey: [UInt8]
  }

  struct Grant {
    var epoch: Epoch
    var revision: Revision
    var lease: Duration
    var groups: [(GroupID, GroupEpoch)]
  }

  /// As `NodeRegistrar.register`.
  func register(_ registration: Registration, lostChunks: Bool) throws -> Terms {
    let authority = DFSCoordinator.Membership.Authority(
      cluster: namespace.cluster, epoch: epoch, revision: namespace.revision,
      startRevision: namespace.startRevision)
    let newKey = world.random.bytes(32)
    let (record, known) = try cluster.withState { state in
      let known = state.membership[registration.node]?.record
      return (try state.membership.admit(registration, authority: authority, newKey: newKey), known)
    }
    if record != known { _ = try mutate(PutNode(node: record)) }
    let now = world.instant
    let transitions = cluster.withState {
      $0.membership.register(registration, record: record, now: now)
    }
    note(transitions)
    if lostChunks { try markBehind(record.id, cluster.withState { $0.table.groups(of: record.id) }) }
    return Terms(
      cluster: namespace.cluster, epoch: epoch, revision: namespace.revision,
      receiptKey: ReceiptKey.derive(from: record, boot: record.boot))
  }

  /// As one round of `CoordinatorService.heartbeat`.
  func heartbeat(
    _ report: NodeReport, _ findings: [ChunkID: GroupID], on stream: NodeProcess.Stream
  ) throws -> Grant {
    let (now, seen) = (world.instant, stream.seen)
    let (transitions, changed) = try cluster.withState { state in
      let transitions = try state.membership.heartbeat(report, now: now)
      return (transitions, state.table.changes(of: report.node, since: seen, limit: 10_000))
    }
    stream.seen = changed.version
    note(transitions)
    try found(bad: findings, on: report.node)
    return Grant(
      epoch: epoch, revision: namespace.revision, lease: configuration.membership.lease,
      groups: changed.groups.map { ($0.id, $0.epoch) })
  }

  func note(_ transitions: [Transition]) {
    for transition in transitions {
      world.note("c\(number): node \(transition.node) was \(transition.from), is \(transition.to)")
      world.tally.add("node \(transition.to)")
    }
  }

  /// Durable rows that a mutation may have changed.
  func learn(_ groups: [PlacementGroup]) { cluster.apply(groups) }
}

extension World {
  /// The coordinator that a node or client finds: the leader, or with an old one about, now and then that.
  func coordinatorFound(by host: Host) -> CoordinatorProcess? {
    let running = coordinators.filter { $0.isRunning && network.connects(host, $0.host) }
    guard running.count > 1 else { return running.last }
    return chance(300) ? pick(running) : running.last
  }

  /// Starts a coordinator on a store. Without success, once more a little later.
  func startCoordinator(on store: MemoryStore, _ ledger: any Ledger) {
    do {
      let process = try CoordinatorProcess(
        number: coordinators.count, store: store, ledger: ObservedLedger(ledger), in: self)
      coordinators.append(process)
      note("c\(process.number) leads, epoch \(process.epoch)")
      tally.add("coordinator starts")
      tell(.coordinatorLeads(process.epoch, process.number))
      process.startJobs()
    } catch {
      note("no coordinator starts: \(error)")
      schedule(after: .seconds(2)) { [self] in startCoordinator(on: store, ledger) }
    }
  }

  /// The process is gone; what it had not synced is, too.
  func crash(_ coordinator: CoordinatorProcess) {
    guard coordinator.isRunning else { return }
    note("c\(coordinator.number) is gone")
    coordinator.isRunning = false
    coordinatorIsGone(coordinator)
  }

  /// A batch is durable.
  func settled(_ batch: LedgerBatch, in store: any OrderedStore, by number: Int) {
    truth.store = store
    let news = truth.apply(batch)
    tell(.batchSettled(batch, by: number))
    for event in news {
      if case .groupChanged(_, let row) = event { groupChanged(row) }
      tell(event)
    }
  }
}
