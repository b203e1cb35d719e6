package import DFSJobs
package import DFSKeyValue
package import DFSMetadata
package import DFSRPC
package import DFSTransport
import DFSWire
package import Logging

/// The parts of a running coordinator, put together over an open store; it owns neither the store nor the
/// network.
package struct Coordinator: Sendable {
  package let namespace: Namespace
  package let cluster: Cluster
  package let service: CoordinatorService
  package let health: HealthService
  package let channels: NodeChannels
  package let jobs: JobRunner
  package let copies: MetadataCopies
  /// The coordinator's methods, health and reflection.
  package let router: RPCRouter

  /// Takes leadership of the namespace in `store` and reads what it has of nodes and groups. Blocks.
  package init(
    store: any OrderedStore, ledger: any Ledger, configuration: CoordinatorConfiguration, loops: NetworkLoops,
    disk: BlockingThreads, logger: Logger, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
  ) throws {
    try self.init(
      store: store, ledger: ledger, configuration: configuration, loops: loops, disk: disk, logger: logger,
      unfinished: nil, now: now)
  }

  /// `unfinished` is what the start has not had the time to check.
  init(
    store: any OrderedStore, ledger: any Ledger, configuration: CoordinatorConfiguration, loops: NetworkLoops,
    disk: BlockingThreads, logger: Logger, unfinished: DigestCheck?,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
  ) throws {
    namespace = try Namespace.open(
      store: store, ledger: ledger, configuration: configuration.namespace, logger: logger)
    let view = try namespace.view()
    var table = SlotTable()
    while true {
      let page = try view.groups(after: table.lastID, limit: 1000)
      for group in page { table.apply(group) }
      if page.count < 1000 { break }
    }
    cluster = Cluster(
      membership: Membership(records: try view.nodes(), limits: configuration.membership, startedAt: now()),
      table: table)
    // What an open upload was given, or what waits to be reaped, is nowhere listed by group: nothing moves.
    let counts = namespace.counts
    if counts.openUploads > 0 || counts.condemned > 0 { cluster.markUsed(table.groups.keys) }

    let service = CoordinatorService(
      namespace: namespace, cluster: cluster, disk: disk, configuration: configuration, logger: logger,
      now: now)
    for group in table.groups.values {
      for node in group.doubted { service.reports.doubt(group.id, on: node) }
    }
    let channels = NodeChannels(
      cluster: cluster, configuration: configuration.channel, loops: loops, logger: logger)
    let health = HealthService()
    var router = RPCRouter()
    service.register(in: &router)
    health.register(in: &router)
    try router.addReflection(of: [ProtocolDescriptors.fileDescriptorSet])
    let copies = MetadataCopies(
      namespace: namespace, cluster: cluster, board: service.copies, channels: channels, disk: disk,
      logger: logger)
    jobs = JobRunner(
      jobs: [
        WatchNodes(service: service, channels: channels),
        ExpireUploads(namespace: namespace, logger: logger),
        ReapCondemned(
          namespace: namespace, cluster: cluster, channels: channels, disk: disk, logger: logger),
        PurgeExpired(namespace: namespace, cluster: cluster, disk: disk, logger: logger, now: now),
        VerifyReports(
          cluster: cluster, reports: service.reports, groups: service.groups, channels: channels,
          namespace: namespace, disk: disk, logger: logger, now: now),
        RepairGroups(
          namespace: namespace, cluster: cluster, groups: service.groups, channels: channels,
          reports: service.reports, disk: disk, logger: logger, now: now),
        LevelSlots(namespace: namespace, cluster: cluster, rules: configuration.placement, now: now),
        CountDegraded(namespace: namespace, cluster: cluster, disk: disk),
        CopyMetadata(
          copies: copies, wanted: configuration.metadataCopies, age: { service.now() - service.startedAt }),
        CheckMetadata(store: store, disk: disk, unfinished: unfinished, logger: logger),
        SweepGroups(
          namespace: namespace, cluster: cluster, groups: service.groups, channels: channels, disk: disk,
          period: configuration.checkPeriod, logger: logger, now: now),
        SweepStrays(
          namespace: namespace, cluster: cluster, groups: service.groups, channels: channels, disk: disk,
          period: configuration.checkPeriod, logger: logger, now: now),
      ], clock: JobClock(ContinuousClock()), logger: logger)
    service.attach(jobs)
    let namespace = namespace
    ClusterJobs(own: jobs, cluster: cluster, channels: channels, epoch: { namespace.epoch })
      .register(in: &router)
    self.copies = copies
    self.service = service
    self.channels = channels
    self.health = health
    self.router = router
  }
}
