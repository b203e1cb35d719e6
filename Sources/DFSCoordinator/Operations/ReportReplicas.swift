import DFSCore
import DFSWire

extension CoordinatorService {
  func reportReplicas(
    _ request: WireReportReplicasRequest, from peer: String
  ) throws -> WireReportReplicasResponse {
    try check(request.reports.count, atMost: 1000, "reports")
    let found = try request.reports.map { try ReplicaReport($0) }
    // A replica outside its group proves nothing: the reader's table is old.
    let believable = cluster.withState { state in
      found.filter { state.table[$0.group]?.members.contains($0.node) == true }
    }
    // That a node did not answer is nothing to verify: its heartbeats say more.
    for report in reports.add(believable.filter { $0.fault != .unreachable }) {
      logger.info(
        "replica reported",
        metadata: [
          "chunk": "\(report.chunk)", "group": "\(report.group)", "node": "\(report.node)",
          "fault": "\(report.fault)", "peer": "\(peer)",
        ])
    }
    return WireReportReplicasResponse()
  }
}
