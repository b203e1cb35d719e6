import DFSJobs
import DFSTransport

/// Makes the highest revision seen durable, so that a coordinator that went backwards is refused after a
/// restart of this node too. (A higher *epoch* is made durable at once.)
struct RevisionJob: Job {
  let name = "revision"
  let what = "Makes the highest revision seen durable."
  let isVital = true
  let membership: Membership
  let disk: BlockingThreads

  func step() async throws -> Pace {
    try await disk.run { [membership] in try membership.saveRevision() }
    return .after(.seconds(30))
  }
}
