import DFSCore
package import DFSJobs
package import DFSMetadata
import DFSObservability
import DFSRPC
package import DFSTransport
import DFSWire
package import Logging
import Metrics

/// Asks datanodes about replicas that readers reported as bad: a report is a hint, the node's own look at its
/// disk decides, and whether what it has there is what the metadata means.
package struct VerifyReports: Job {
  package let name = "verify_reports"
  package let what = "Has copies looked at that readers found bad."
  private static let batch = 8
  private let cluster: Cluster
  private let reports: ReplicaReports
  private let groups: GroupKeeper
  private let channels: NodeChannels
  private let namespace: Namespace
  private let disk: BlockingThreads
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant

  package init(
    cluster: Cluster, reports: ReplicaReports, groups: GroupKeeper, channels: NodeChannels,
    namespace: Namespace, disk: BlockingThreads, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant
  ) {
    self.cluster = cluster
    self.reports = reports
    self.groups = groups
    self.channels = channels
    self.namespace = namespace
    self.disk = disk
    self.logger = logger
    self.now = now
  }

  package func step() async throws -> Pace {
    let taken = reports.take(Self.batch)
    await withTaskGroup(of: Void.self) { group in
      for report in taken { group.addTask { await verify(report) } }
    }
    return taken.count == Self.batch ? .atOnce : .after(.milliseconds(500))
  }

  private func verify(_ report: ReplicaReport) async {
    var facts: Logger.Metadata = [
      "chunk": "\(report.chunk)", "group": "\(report.group)", "node": "\(report.node)",
      "fault": "\(report.fault)",
    ]
    do {
      let found = try await channels.verified(report.chunk, of: report.group, on: report.node)
      guard try await reference(of: report.chunk)?.isOf(found) != false else {
        throw DFSError(
          .corrupt, "node \(report.node) has another content under the id of chunk \(report.chunk)",
          metadata: ["chunk": report.chunk.description])
      }
      logger.info("reported replica is good", metadata: facts)
    } catch let error as DFSError where error.code == .corrupt || error.code == .notFound {
      facts["error"] = "\(error)"
      await act(on: report, error, facts)
    } catch {
      // Neither good nor bad: the next reader that meets it reports it again.
      facts["error"] = "\(error)"
      logger.info("reported replica could not be looked at", metadata: facts)
    }
  }

  /// A bad replica makes its member `behind`: repair makes it anew.
  private func act(on report: ReplicaReport, _ error: DFSError, _ facts: Logger.Metadata) async {
    do {
      guard try await isDamage(report, error) else {
        return logger.info("reported replica need not be there", metadata: facts)
      }
      // Marked first: a report is known only when something follows from it.
      try await groups.markBehind(
        report.node, [report.group], error.code == .corrupt ? .bad : .lost,
        because: "a bad replica of \(report.chunk)")
      if reports.confirm(report) {
        Counter(label: MetricNames.coordinatorBadReplicasTotal).increment()
        logger.warning("bad replica", metadata: facts)
        if cluster.foundBad(1, of: report.node, now: now()) { logger.suspect(report.node) }
      }
    } catch {
      // Told again by the next reader, and found by the sweep.
      logger.warning(
        "a bad replica could not be noted", metadata: ["report": "\(facts)", "error": "\(error)"])
    }
  }

  /// Only of what the metadata names, and what is missing only of a full member: others are known to lack
  /// chunks.
  private func isDamage(_ report: ReplicaReport, _ error: DFSError) async throws -> Bool {
    let slot = cluster.withState { $0.table[report.group]?.slots.first { $0.node == report.node } }
    guard let slot, error.code == .corrupt || slot.state == .full else { return false }
    return try await reference(of: report.chunk) != nil
  }

  private func reference(of chunk: ChunkID) async throws -> ChunkReference? {
    let namespace = namespace
    return try await disk.run { try namespace.view().reference(of: chunk) }
  }
}

extension ChunkReference {
  /// Whether a node that answers so has a copy of it. The id alone says nothing: see `CopyChunks`.
  func isOf(_ answer: WireStatChunkResponse) -> Bool { answer.length == length && answer.root == root.wire }
}

extension Cluster {
  /// Counts bad replicas. True when they make the node suspect.
  func foundBad(_ count: Int, of node: NodeID, now: ContinuousClock.Instant) -> Bool {
    withState { state in
      state.badReplicas += UInt64(count)
      return state.membership.foundBad(count, of: node, now: now)
    }
  }
}

extension Logger {
  func suspect(_ node: NodeID) {
    error(
      """
      a node has many bad replicas in a short time: it gets nothing new until a person has looked at its disk \
      and activates or removes it
      """,
      metadata: ["node": "\(node)"])
  }
}
