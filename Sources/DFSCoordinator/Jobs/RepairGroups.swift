package import DFSCore
package import DFSJobs
package import DFSMetadata
package import DFSTransport
package import Logging
import Synchronization

/// Makes slots full again: reconciles groups with members that are filling or behind, those with the fewest
/// copies first, many at once.
///
/// A step works until nothing is left that can be done, a page of a group at a time, however long that is.
/// Where a pass has come to is kept from page to page; after a restart it begins anew and finds what was copied.
/// A call that hangs or is slow holds back its own group alone: the table is looked at again and again, and
/// other groups are begun, for as long as it is waited for.
package struct RepairGroups: Job {
  package let name = "repair"
  package let what = "Copies chunks to group members that lack them."
  private static let pause = Duration.milliseconds(250)
  /// The whole table is looked at so often while groups are worked on.
  private static let lookEvery = Duration.milliseconds(500)

  private enum Event: Sendable { case worked, lookDue, lookedForLost }

  private final class Memory: Sendable {
    struct State: Sendable {
      var queue = RepairQueue()
      var passes: [GroupID: ReconcilePass] = [:]
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
    let (inventories, hanging) = (NodeInventories(epoch: namespace.epoch, channels: channels), HangingNodes())
    reconciler = GroupReconciler(
      namespace: namespace, cluster: cluster, groups: groups, channels: channels, inventories: inventories,
      reports: reports,
      formers: FormerHolders(cluster: cluster, inventories: inventories, hanging: hanging, now: now),
      disk: disk, loads: SourceLoads(), hanging: hanging, page: page, logger: logger, now: now, clock: clock)
  }

  package var progress: JobProgress? {
    let (done, left) = cluster.withState { state in
      (state.repair.repairedChunks, RepairStatus(state, meanChunk: 0, now: reconciler.now()).chunksLeft)
    }
    return JobProgress(done: done, total: done + left, unit: "chunks")
  }

  /// At zero no group is begun, so that the step comes to its end.
  package func changePace(percent: Int) {
    let most = RepairQueue.Limits().groups * percent / 100
    memory.state.withLock { $0.queue.limits.groups = percent == 0 ? 0 : max(1, most) }
  }

  package func step() async throws -> Pace {
    let worked = try await withThrowingTaskGroup(of: Event.self) { tasks in
      var (worked, running, isLooking) = (0, 0, false)
      func start() {
        while let entry = memory.state.withLock({ $0.queue.next() }) {
          (worked, running) = (worked + 1, running + 1)
          tasks.addTask {
            await work(on: entry)
            return .worked
          }
        }
      }
      func look() {
        fill()
        if !isLooking {
          isLooking = true
          tasks.addTask {
            await reconciler.lookForLost()
            return .lookedForLost
          }
        }
        tasks.addTask {
          try await clock.sleep(for: Self.lookEvery)
          return .lookDue
        }
      }
      look()
      start()
      while running > 0 || isLooking, let event = try await tasks.next() {
        try Task.checkCancellation()
        switch event {
        case .worked: running -= 1
        case .lookedForLost: isLooking = false
        case .lookDue: look()
        }
        start()
      }
      tasks.cancelAll()
      return worked
    }
    // It bounds its own rate: a rest as long as the step, which may have lasted for hours, is not wanted.
    return .after(worked > 0 ? .zero : Self.pause)
  }

  private func fill() {
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
      let step = try await reconciler.step(entry.group, pass, leavingOut: entry.leftOut) { target in
        memory.state.withLock { $0.queue.served(target, of: entry.group) }
      }
      switch step {
      case .goesOn(let pass): (next, end) = (pass, .goesOn)
      case .finished: (next, end) = (nil, .finished)
      case .waits(let obstacle): (next, end) = (nil, .failed(obstacle))
      }
    } catch {
      (next, end) = (nil, .failed(RepairQueue.Obstacle()))
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
