import DFSCore
package import DFSJobs
package import DFSMetadata
package import DFSTransport
import Synchronization

/// Counts the chunks of groups with too few full members in contact, a bounded number a step, so that `status`
/// can say how many are at risk, and on how many copies, without a scan.
package struct CountDegraded: Job {
  package let name = "count_degraded"
  package let what = "Counts the chunks of groups that lack copies, for the status."
  private static let chunksPerStep = 50_000
  private static let page = 10_000

  private struct Position {
    var group = GroupID(rawValue: 0)
    var after: ChunkID?
    var count: UInt64 = 0
  }
  private final class Walk: Sendable {
    let position = Mutex(Position())
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let disk: BlockingThreads
  private let walk = Walk()

  package init(namespace: Namespace, cluster: Cluster, disk: BlockingThreads) {
    self.namespace = namespace
    self.cluster = cluster
    self.disk = disk
  }

  package func step() async throws -> Pace {
    let degraded = cluster.groupSummary().short.map(\.id)
    var position = walk.position.withLock { $0 }
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
    return .after(.seconds(10))
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
