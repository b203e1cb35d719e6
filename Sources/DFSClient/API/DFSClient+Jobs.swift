import DFSCore
import DFSRPC
import DFSWire

/// Whose background jobs are meant.
public enum JobPlace: Sendable, Hashable {
  /// The coordinator and every datanode that has such a job.
  case everywhere
  case coordinator
  case datanode(NodeID)
}

/// Background jobs, and the datanodes that could not be asked about theirs.
public struct JobList: Sendable, Hashable {
  /// The coordinator's first, then by node and name.
  public var jobs: [JobStatus]
  public var silentNodes: [NodeID]
}

extension DFSClient {
  /// The background jobs with progress, rate and time left. A datanode that is named and does not answer is
  /// an error; among all of them it is listed as silent.
  public func jobs(_ place: JobPlace = .everywhere) async throws -> JobList {
    try await operation { [connection] in
      var request = WireListJobsRequest()
      if let node = place.wire { request.node = node }
      let answer = try await connection.read(CoordinatorMethods.listJobs, request)
      return JobList(answer.jobs, silent: answer.silentNodes)
    }
  }

  /// Pauses, resumes, hurries or paces the job of this name, and gives the jobs that were reached as they are
  /// now. It lasts until the process of the job restarts. Throws `.notFound` when nobody has such a job, and
  /// `.failedPrecondition` for what the job does not allow.
  @discardableResult
  public func controlJob(
    _ name: String, _ action: JobAction, at place: JobPlace = .everywhere
  ) async throws -> JobList {
    try await operation { [connection] in
      var request = WireControlJobRequest()
      request.name = name
      request.action = WireJobAction(action)
      request.pacePercent = action.pacePercent
      if let node = place.wire { request.node = node }
      // Doing it twice is doing it once, so it may be repeated like a read.
      let answer = try await connection.read(CoordinatorMethods.controlJob, request)
      return JobList(answer.jobs, silent: answer.silentNodes)
    }
  }
}

extension JobPlace {
  /// The wire's number of the place: none for everywhere, zero for the coordinator.
  fileprivate var wire: UInt64? {
    switch self {
    case .everywhere: nil
    case .coordinator: 0
    case .datanode(let node): node.rawValue
    }
  }
}

extension JobList {
  fileprivate init(_ jobs: [WireJobStatus], silent: [UInt64]) {
    self.init(jobs: jobs.map { JobStatus($0) }, silentNodes: silent.map { NodeID(rawValue: $0) })
  }
}
