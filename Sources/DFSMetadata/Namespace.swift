package import DFSCore
package import DFSKeyValue
package import Logging

/// The namespace and the membership of one cluster: the front of this module.
///
/// Mutations wait for their round: executed one after another, made durable together, then answered. Reads go
/// through a `NamespaceView`, a snapshot of the local store, and never wait for a round. Leases, pins and
/// listings' snapshots are this leader's own memory: taking leadership restarts them in full.
///
/// When the outcome of a round is unknown, or another leader has taken over, the namespace refuses every
/// further mutation and `waitUntilEnded()` returns: the process must end, and a start finds out what is
/// durable.
package final class Namespace: Sendable {
  package let configuration: NamespaceConfiguration
  package let cluster: ClusterID
  /// Of this leadership: the term was raised in the first transaction of `open`.
  package let epoch: Epoch
  /// Of the metadata as this leadership found it, and of its own first round.
  package let startRevision: Revision
  package let startMark: RoundMark

  let store: any OrderedStore
  let clock: ClusterClock
  let memory: NamespaceMemory
  let feed: RoundFeed
  let runner: RoundRunner

  /// Who runs the rounds.
  package enum Rounds: Sendable, Hashable {
    /// A thread of the namespace's own: many mutations share one round.
    case ownThread
    /// Whoever calls `mutateNow`, one round for each call: for a simulation, which has one thread and no
    /// chance but its own.
    case caller
  }

  /// Opens the namespace in `store`, or makes a new one there when the ledger has none, and takes leadership:
  /// raises the term and restarts all leases. Blocks. Throws `.failedPrecondition` for a format newer than
  /// this program's, `.corrupt` for a damaged store.
  package static func open(
    store: any OrderedStore, ledger: any Ledger,
    configuration: NamespaceConfiguration = NamespaceConfiguration(), rounds: Rounds = .ownThread,
    logger: Logger
  ) throws -> Namespace {
    let leadership = try Leadership.take(store, ledger, configuration)
    logger.info(
      "opened the namespace",
      metadata: [
        "cluster": "\(leadership.cluster.cluster)", "term": "\(leadership.mark.term)",
        "revision": "\(leadership.state.revision)", "open_uploads": "\(leadership.openUploads.count)",
      ])
    return Namespace(leadership, store: store, ledger: ledger, rounds: rounds, logger: logger)
  }

  private init(
    _ leadership: Leadership, store: any OrderedStore, ledger: any Ledger, rounds: Rounds, logger: Logger
  ) {
    let (configuration, clock, cluster) = (leadership.configuration, leadership.clock, leadership.cluster)
    let limits = ledger.limits
    var leases = DeadlineTable(length: configuration.uploadLease, start: clock.now)
    for upload in leadership.openUploads { leases.renew(upload, now: clock.now) }
    let memory = NamespaceMemory(
      NamespaceMemory.Contents(
        leases: leases, pins: DeadlineTable(length: configuration.pinDuration, start: clock.now),
        snapshots: SnapshotTable(
          limit: configuration.listSnapshots, lifetime: configuration.listSnapshotLifetime,
          firstToken: configuration.randomNumber()),
        state: leadership.state, isHeld: cluster.isHeld))
    self.configuration = configuration
    self.cluster = cluster.cluster
    epoch = Epoch(incarnation: cluster.incarnation, term: leadership.mark.term)
    startRevision = leadership.state.revision
    startMark = leadership.mark
    self.store = store
    self.clock = clock
    self.memory = memory
    let feed = RoundFeed(last: leadership.mark, budget: configuration.roundFeed)
    feed.publish(SettledRound(leadership.batch, settledAt: configuration.elapsed()))
    self.feed = feed
    runner = RoundRunner(
      store: store, ledger: ledger, mark: leadership.mark, state: leadership.state,
      queueLimit: configuration.waitingMutations, logger: logger,
      context: {
        RoundContext(
          now: clock.now, wallTime: configuration.wallTime(), configuration: configuration,
          incarnation: cluster.incarnation, limits: limits,
          isLeaseOver: { memory.isLeaseOver($0, now: clock.now) }, isHeld: memory.with { $0.isHeld })
      },
      settled: { sealed in
        memory.settled(sealed.state, sealed.notices, now: clock.now)
        feed.publish(SettledRound(sealed.batch, settledAt: configuration.elapsed()))
      })
    if rounds == .ownThread { runner.start() }
  }

  /// Executes `mutation` in the next round, exactly once for each request id, and returns when it is durable.
  ///
  /// Besides what the operation itself throws: `.outcomeUnknown` for an id below the recorded floor, never
  /// executed (metadata `floor`, `revision`), or when the round's durability is unknown; `.invalidArgument`
  /// for an id that was used with other arguments; `.stale` for an id that saw a revision this namespace
  /// never had; `.unavailable` when too many wait or the namespace has ended. Cancellation does not withdraw
  /// it: rounds are short.
  @discardableResult
  package func mutate<M: Mutation>(_ mutation: M, id: RequestID? = nil) async throws -> Settled<M.Outcome> {
    try await withCheckedThrowingContinuation { continuation in
      runner.enqueue(WaitingCall(mutation, id: id, continuation: continuation))
    }
  }

  /// The present state, for reading on a thread that may block, or, with `.memory`, on any. Keep it for one answer,
  /// not longer.
  package func view(_ tier: ReadTier = .memoryAndDisk) throws -> NamespaceView {
    // The revision first: a snapshot may show more than it says, never less.
    let revision = revision
    return NamespaceView(reader: store.snapshot(tier), revision: revision)
  }

  /// The latest revision that reads see.
  package var revision: Revision { memory.with { $0.state.revision } }
  /// Whether the metadata was restored from a copy and nobody has released it since: nothing may be reaped or
  /// condemned, for chunks that only the lost rounds knew look like orphans. See `ReleaseHold`.
  package var isHeld: Bool { memory.with { $0.isHeld } }
  /// The cluster's time now.
  package var time: ClusterTime { clock.now }
  /// How much there is, for `status`: kept up by the rounds, never counted by a scan.
  package var counts: NamespaceCounts { memory.with { $0.state.counts } }

  /// Returns the reason when the namespace can not go on and the process must end; `nil` after `close()`.
  package func waitUntilEnded() async -> DFSError? { await runner.waitUntilEnded() }

  /// Settles what waits, then refuses further mutations. Lets go of all snapshots; does not close the store.
  package func close() async {
    await runner.close()
    feed.end()
    memory.with { $0.snapshots.dropAll() }
  }
}
