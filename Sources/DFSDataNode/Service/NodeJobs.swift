import DFSCore
import DFSJobs
import DFSWire

/// The node's own background jobs: what they do, and what an operator wants of them.
extension DataNodeService {
  func listNodeJobs(_ request: WireListNodeJobsRequest, of jobs: JobRunner) throws -> WireListNodeJobsResponse {
    try checkAddressee(request.node)
    return .with { $0.jobs = jobs.status.map { WireJobStatus(mine($0)) } }
  }

  func controlNodeJob(
    _ request: WireControlNodeJobRequest, of jobs: JobRunner
  ) throws -> WireListNodeJobsResponse {
    try checkAddressee(request.node)
    try membership.obey(try Epoch(request.epoch))
    let status = try jobs.control(
      request.name, try JobAction(request.action, pacePercent: request.pacePercent))
    return .with { $0.jobs = [WireJobStatus(mine(status))] }
  }

  private func mine(_ status: JobStatus) -> JobStatus {
    var status = status
    status.node = identity.node
    return status
  }
}
