import DFSCore
package import DFSJobs
import DFSObservability
import DFSRPC
import DFSWire
package import Logging
import Metrics

/// Asks datanodes about replicas that readers reported as bad: a report is a hint, the node's own look at its
/// disk decides.
package struct VerifyReports: Job {
  package let name = "verify_reports"
  package let what = "Has copies looked at that readers found bad."
  private static let batch = 8
  private let cluster: Cluster
  private let reports: ReplicaReports
  private let channels: NodeChannels
  private let logger: Logger

  package init(cluster: Cluster, reports: ReplicaReports, channels: NodeChannels, logger: Logger) {
    self.cluster = cluster
    self.reports = reports
    self.channels = channels
    self.logger = logger
  }

  package func step() async throws -> Pace {
    let taken = reports.take(Self.batch)
    await withTaskGroup(of: Void.self) { group in
      for report in taken { group.addTask { await verify(report) } }
    }
    return taken.count == Self.batch ? .atOnce : .after(.milliseconds(500))
  }

  private func verify(_ report: ReplicaReport) async {
    var request = WireStatChunkRequest()
    request.chunk = WireChunkId(report.chunk)
    request.group = report.group.rawValue
    request.verify = true
    var facts: Logger.Metadata = [
      "chunk": "\(report.chunk)", "group": "\(report.group)", "node": "\(report.node)",
      "fault": "\(report.fault)",
    ]
    do {
      let channel = try channels.channel(to: report.node)
      _ = try await channel.call(
        DataNodeMethods.statChunk, request, options: CallOptions(timeout: .seconds(20)))
      logger.info("reported replica is good", metadata: facts)
    } catch let error as DFSError where error.code == .corrupt || error.code == .notFound {
      guard reports.confirm(report) else { return }
      cluster.withState { $0.badReplicas += 1 }
      Counter(label: MetricNames.coordinatorBadReplicasTotal).increment()
      facts["error"] = "\(error)"
      logger.warning("bad replica", metadata: facts)
    } catch {
      // Neither good nor bad: the next reader that meets it reports it again.
      facts["error"] = "\(error)"
      logger.info("reported replica could not be looked at", metadata: facts)
    }
  }
}
