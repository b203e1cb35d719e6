import DFSCore
package import DFSJobs
package import DFSMetadata
import DFSObservability
package import DFSTransport
package import Logging
import Metrics
import Synchronization

/// Deletes the chunks of condemned versions and uploads on every member of their groups, and orphans on the
/// nodes that have them, under this coordinator's epoch, then forgets the records.
///
/// A step takes a bounded number of pages whose grace is over and that nobody has pinned. What it can not do
/// now, because a member is away, it passes by; when it has been through everything it begins again after a
/// pause.
package struct ReapCondemned: Job {
  package let name = "reap_condemned"
  package let what = "Deletes the chunks of files whose grace is over."
  /// Pages of at most 512 chunks each, and chunks, in one step.
  private static let mostPages = 64
  private static let mostChunks = 8192

  private final class Walk: Sendable {
    /// The page after which the next step begins.
    let position = Mutex<ReapPage?>(nil)
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let channels: NodeChannels
  private let disk: BlockingThreads
  private let logger: Logger
  private let walk = Walk()

  package init(
    namespace: Namespace, cluster: Cluster, channels: NodeChannels, disk: BlockingThreads, logger: Logger
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.channels = channels
    self.disk = disk
    self.logger = logger
  }

  package func step() async throws -> Pace {
    let start = walk.position.withLock { $0 }
    let (plan, last) = try await collect(from: start)
    let done = await carryOut(plan)
    let gone = plan.parts.filter { done.isSuperset(of: $0.nodes) }.map(\.page)
    let unfinished = try await forget(gone)
    if !gone.isEmpty {
      logger.info(
        "reaped",
        metadata: ["chunks": "\(gone.reduce(0) { $0 + $1.chunks.count })", "pages": "\(gone.count)"])
    }
    // A record that has further pages is met again at its own place.
    if unfinished == 0 { walk.position.withLock { $0 = last } }
    // What was in a tree is condemned only now, so a walk that achieved something is not the last.
    return last != nil || !gone.isEmpty ? .atOnce : .after(.seconds(2))
  }

  /// Pages from `start` on; and where to go on, `nil` at the end.
  private func collect(from start: ReapPage?) async throws -> (ReapPlan, ReapPage?) {
    let (namespace, cluster) = (namespace, cluster)
    return try await disk.run {
      let (table, membership) = cluster.withState { ($0.table, $0.membership) }
      var plan = ReapPlan()
      var last = start
      for _ in 0..<Self.mostPages where plan.chunks < Self.mostChunks {
        guard let page = try namespace.nextCondemned(after: last) else { return (plan, nil) }
        plan.add(page, table: table, membership: membership)
        last = page
      }
      return (plan, last)
    }
  }

  /// The nodes that have carried out all of their orders.
  private func carryOut(_ plan: ReapPlan) async -> Set<NodeID> {
    let orders = ReapOrders(epoch: namespace.epoch, channels: channels)
    return await withTaskGroup(of: NodeID?.self) { group in
      for (node, runs) in plan.orders {
        group.addTask {
          do {
            let removed = try await orders.send(runs, to: node)
            Counter(label: MetricNames.coordinatorReapedBytesTotal).increment(by: Int64(clamping: removed))
            return node
          } catch {
            logger.warning("node does not reap", metadata: ["node": "\(node)", "error": "\(error)"])
            return nil
          }
        }
      }
      return await group.reduce(into: []) { done, node in if let node { done.insert(node) } }
    }
  }

  /// Forgets pages whose chunks are gone everywhere, side by side so that they share rounds. Gives the number
  /// of records that have more.
  private func forget(_ pages: [ReapPage]) async throws -> Int {
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for page in pages {
        group.addTask { try await namespace.mutate(Reap(page: page)).outcome.isFinished }
      }
      return try await group.reduce(into: 0) { unfinished, isFinished in if !isFinished { unfinished += 1 } }
    }
  }
}
