import DFSCore
package import DFSJobs
package import DFSMetadata
package import DFSTransport
package import Logging
import Synchronization

/// Ends the time in the trash of what has expired; of the oldest, when there are more than the metadata are
/// meant to hold; and, while less than a tenth of the cluster's capacity is free, of the oldest that take space
/// on the disks. Everything it needs to know is durable but what it purged lately.
package struct PurgeExpired: Job {
  package let name = "purge_trash"
  package let what = "Ends the time in the trash of what has expired, of the oldest earlier on full disks."
  private static let batch = 1000

  private struct Pressure {
    var plan = TrashPressure()
    /// Where the next look at the trash begins.
    var position: DeletionID?
  }
  private final class Memory: Sendable {
    let pressure = Mutex(Pressure())
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let disk: BlockingThreads
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant
  private let memory = Memory()

  package init(
    namespace: Namespace, cluster: Cluster, disk: BlockingThreads, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.disk = disk
    self.logger = logger
    self.now = now
  }

  package func step() async throws -> Pace {
    guard !namespace.isHeld else { return .after(.seconds(5)) }
    let namespace = namespace
    let expired = try await disk.run { try namespace.expiredTrash(limit: Self.batch) }
    let purged = try await namespace.purge(expired)
    if purged > 0 { logger.info("purged from the trash", metadata: ["deletions": "\(purged)"]) }
    if expired.count == Self.batch { return .atOnce }
    if try await shorten() { return .atOnce }
    return try await relieve()
  }

  /// Purges the oldest of more deletions than the metadata are meant to hold.
  private func shorten() async throws -> Bool {
    let (count, limit) = (namespace.counts.trash, namespace.configuration.trashEntries)
    guard count > limit else { return false }
    let (namespace, excess) = (namespace, min(Self.batch, Int(clamping: count - limit)))
    let oldest = try await disk.run { try namespace.view().trashCosts(limit: excess).costs }
    let purged = try await namespace.purge(oldest.map(\.deletion))
    cluster.withState { $0.earlyPurges.add(purged, .entries, now: now()) }
    logger.warning(
      "the trash has more than coordinator.trash_entries: the oldest left early",
      metadata: ["deletions": "\(purged)", "limit": "\(limit)"])
    return purged > 0
  }

  /// Purges ahead of time what the disks need back.
  private func relieve() async throws -> Pace {
    let space = cluster.withState { state in
      // Who has not reported yet has space that nobody knows.
      ClusterSpace(state.membership.present.filter { $0.isReachable && $0.report != nil })
    }
    let (missing, position) = memory.pressure.withLock {
      ($0.plan.missing(of: space, now: now()), $0.position)
    }
    guard missing > .zero, namespace.counts.trash > 0 else {
      memory.pressure.withLock { $0.position = nil }
      return .after(.seconds(5))
    }
    let namespace = namespace
    let (costs, next) = try await disk.run {
      try namespace.view().trashCosts(after: position, limit: Self.batch)
    }
    let chosen = memory.pressure.withLock { $0.plan.choose(costs, missing: missing) }
    let purged = try await namespace.purge(chosen.map(\.deletion))
    // Its chunks go when its grace is over, and the reaper takes some time.
    let due = now() + namespace.configuration.reapGrace + .seconds(60)
    memory.pressure.withLock {
      $0.plan.purged(chosen, due: due)
      $0.position = next
    }
    if purged > 0 {
      cluster.withState { $0.earlyPurges.add(purged, .space, now: now()) }
      logger.warning(
        "less than a tenth of the space is free: the oldest deletions left the trash early",
        metadata: ["deletions": "\(purged)", "missing": "\(missing)"])
    }
    return next == nil ? .after(.seconds(5)) : .atOnce
  }
}
