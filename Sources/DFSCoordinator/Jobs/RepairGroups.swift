package import DFSCore
package import DFSJobs
package import DFSMetadata
package import DFSTransport
package import Logging
import Synchronization

/// Makes slots full again: reconciles groups with members that are filling or behind, those with the fewest
/// copies first, many at once.
///
/// A step works until nothing is left that can be done, or for half a minute, a page of a group at a time.
/// Where a pass has come to is kept from step to step; after a restart it begins anew and finds what was
/// copied. A call that hangs holds back its own group alone: the table is looked at again, and other groups
/// are begun, while it is waited for.
package struct RepairGroups: Job {
  package let name = "repair"
  package let what = "Copies chunks to group members that lack them."
  private static let longestStep = Duration.seconds(30)
  private static let pause = Duration.milliseconds(250)
  /// The whole table is looked at so often while groups are worked on.
  private static let lookEvery = Duration.milliseconds(500)

  private enum Event: Sendable { case worked, lookDue }

  private final class Memory: Sendable {
    struct State: Sendable {
      var queue = RepairQueue()
      var passes: [GroupID: ReconcilePass] = [:]
      var filledAt: ContinuousClock.Instant?
    }
    let state = Mutex(State())
  }

  private let cluster: Cluster
  private let reconciler: GroupReconciler
  private let logger: Logger
  private let clock: any Clock<Duration>
  private let memory = Memory()

  package init(
    namespace: Namespace, cluster: Cluster, groups: GroupKeeper, channels: NodeChannels,
    reports: ReplicaReports, disk: BlockingThreads, page: Int = 2000, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant, clock: any Clock<Duration> = ContinuousClock()
  ) {
    self.cluster = cluster
    self.clock = clock
    self.logger = logger
    let inventories = NodeInventories(epoch: namespace.epoch, channels: channels)
    reconciler = GroupReconciler(
      namespace: namespace, cluster: cluster, groups: groups, channels: channels, inventories: inventories,
      reports: reports, formers: FormerHolders(cluster: cluster, inventories: inventories, now: now),
      disk: disk, loads: SourceLoads(), page: page, logger: logger, now: now)
  }

  package var progress: JobProgress? {
    let (done, left) = cluster.withState { state in
      (state.repair.repairedChunks, RepairStatus(state, meanChunk: 0, now: reconciler.now()).chunksLeft)
    }
    return JobProgress(done: done, total: done + left, unit: "chunks")
  }

  package func changePace(percent: Int) {
    memory.state.withLock { $0.queue.limits.groups = max(1, RepairQueue.Limits().groups * percent / 100) }
  }

  package func step() async throws -> Pace {
    let begun = ContinuousClock.now
    memory.state.withLock { $0.filledAt = nil }
    fill()
    await reconciler.lookForLost()
    let worked = try await withThrowingTaskGroup(of: Event.self) { tasks in
      var (worked, running) = (0, 0)
      func start() {
        guard ContinuousClock.now - begun < Self.longestStep else { return }
        while let entry = memory.state.withLock({ $0.queue.next() }) {
          (worked, running) = (worked + 1, running + 1)
          tasks.addTask {
            await work(on: entry)
            return .worked
          }
        }
      }
      func waitForLook() {
        tasks.addTask {
          try await clock.sleep(for: Self.lookEvery)
          return .lookDue
        }
      }
      start()
      waitForLook()
      while running > 0, let event = try await tasks.next() {
        try Task.checkCancellation()
        switch event {
        case .worked: running -= 1
        case .lookDue: waitForLook()
        }
        fill()
        start()
      }
      tasks.cancelAll()
      return worked
    }
    return worked > 0 ? .atOnce : .after(Self.pause)
  }

  private func fill() {
    let isDue = memory.state.withLock { state in
      let time = ContinuousClock.now
      if let last = state.filledAt, time - last < Self.lookEvery { return false }
      state.filledAt = time
      return true
    }
    guard isDue else { return }
    let (table, membership, heirs, predecessors) = cluster.withState {
      ($0.table, $0.membership, $0.heirs, $0.predecessors)
    }
    memory.state.withLock { state in
      state.queue.fill(
        table, membership, heirs: heirs, predecessors: predecessors, now: reconciler.now())
      state.passes = state.passes.filter { table.unfinished.contains($0.key) || heirs[$0.key] != nil }
    }
  }

  /// One page of one group.
  private func work(on entry: RepairQueue.Entry) async {
    let pass = memory.state.withLock { $0.passes[entry.group] }
    var (next, end): (ReconcilePass?, RepairQueue.End)
    do {
      switch try await reconciler.step(entry.group, pass) {
      case .goesOn(let pass): (next, end) = (pass, .goesOn)
      case .finished: (next, end) = (nil, .finished)
      case .waits: (next, end) = (nil, .failed)
      }
    } catch {
      (next, end) = (nil, .failed)
      logger.info(
        "a group can not be repaired now", metadata: ["group": "\(entry.group)", "error": "\(error)"])
    }
    let version = cluster.withState { $0.membership.version }
    memory.state.withLock { state in
      state.passes[entry.group] = next
      state.queue.end(entry, end, membership: version, now: reconciler.now())
    }
  }
}
