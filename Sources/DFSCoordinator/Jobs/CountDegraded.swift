import DFSCore
package import DFSJobs
package import DFSMetadata
package import DFSTransport
import Synchronization

/// Counts the chunks of groups with too few full members in contact, a bounded number a step, so that `status`
/// can say how many are at risk, and on how many copies, without a scan. A group that has lost a member is
/// counted within a second: until then `status` would call its chunks safe.
package struct CountDegraded: Job {
  package let name = "count_degraded"
  package let what = "Counts the chunks of groups that lack copies, for the status."
  private static let chunksPerStep = 50_000
  private static let page = 10_000
  private static let lookEvery = Duration.seconds(1)
  /// Groups that were counted are counted again after so long.
  private static let recount = Duration.seconds(10)

  private struct Position: Hashable {
    var group = GroupID(rawValue: 0)
    var after: ChunkID?
    var count: UInt64 = 0
  }
  private final class Walk: Sendable {
    let position = Mutex(Position())
    let endedAt = Mutex<ContinuousClock.Instant?>(nil)
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let disk: BlockingThreads
  private let now: @Sendable () -> ContinuousClock.Instant
  private let walk = Walk()

  package init(
    namespace: Namespace, cluster: Cluster, disk: BlockingThreads,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.disk = disk
    self.now = now
  }

  package func step() async throws -> Pace {
    let degraded = cluster.groupSummary().short.map(\.id)
    var position = walk.position.withLock { $0 }
    guard position != Position() || isDue(degraded) else { return .after(Self.lookEvery) }
    var budget = Self.chunksPerStep
    // A walk within a group that was healed meanwhile goes on with the next one.
    while let group = degraded.first(where: { $0 >= position.group }) {
      guard budget > 0 else {
        walk.position.withLock { $0 = position }
        return .after(.milliseconds(100))
      }
      if group != position.group { position = Position(group: group) }
      let count = try await count(&position)
      budget -= max(Self.page / 100, count)
    }
    walk.position.withLock { $0 = Position() }
    walk.endedAt.withLock { $0 = now() }
    return .after(Self.lookEvery)
  }

  /// Whether another walk is to begin. Counts of groups that have all members again are dropped: when such a
  /// group loses one anew, it is not known.
  private func isDue(_ degraded: [GroupID]) -> Bool {
    let known = Set(degraded)
    let hasUncounted = cluster.withState { state in
      state.chunkCounts = state.chunkCounts.filter { known.contains($0.key) }
      return state.chunkCounts.count < known.count
    }
    return hasUncounted || walk.endedAt.withLock { $0 }.map { now() - $0 >= Self.recount } ?? true
  }

  /// Counts one page, and moves on to the next group at the end of this one.
  private func count(_ position: inout Position) async throws -> Int {
    let (namespace, group, after) = (namespace, position.group, position.after)
    let chunks = try await disk.run { try namespace.view().chunks(of: group, after: after, limit: Self.page) }
    position.count += UInt64(chunks.count)
    position.after = chunks.last
    if chunks.count < Self.page {
      let count = position.count
      cluster.withState { $0.chunkCounts[group] = count }
      position = Position(group: GroupID(rawValue: group.rawValue &+ 1))
    }
    return chunks.count
  }
}
