import DFSCore
import DFSWire

extension ClusterJobs {
  /// Does with a job what an operator wants, wherever it runs. Throws when that was nowhere, and when a place
  /// refused; places that were reached before keep the change.
  func control(_ request: WireControlJobRequest) async throws -> WireControlJobResponse {
    let action = try JobAction(request.action, pacePercent: request.pacePercent)
    guard request.name.utf8.count <= 100 else {
      throw DFSError(.invalidArgument, "a job's name has at most 100 bytes")
    }
    let scope = JobScope(request.hasNode ? request.node : nil)
    var response = WireControlJobResponse()
    var refusals: [DFSError] = []
    if scope.includesCoordinator {
      do {
        response.jobs = [WireJobStatus(try own.control(request.name, action))]
      } catch let error as DFSError {
        refusals.append(error)
      }
    }
    let replies = await ask(try targets(of: scope)) { node in
      try await self.control(request.name, action, on: node)
    }
    for (node, reply) in replies.sorted(by: { $0.node < $1.node }) {
      switch reply {
      case .success(let jobs): response.jobs += jobs
      case .failure(let error):
        if case .node = scope { throw error }
        if error.code.isSilence {
          response.silentNodes.append(node.rawValue)
        } else {
          refusals.append(error)
        }
      }
    }
    response.silentNodes += outOfContact(scope).map(\.rawValue)
    response.silentNodes.sort()
    try judge(refusals, response, name: request.name)
    return response
  }

  private func control(_ name: String, _ action: JobAction, on node: NodeID) async throws -> [WireJobStatus] {
    var request = WireControlNodeJobRequest()
    request.epoch = WireEpoch(epoch())
    request.node = node.rawValue
    request.name = name
    request.action = WireJobAction(action)
    request.pacePercent = action.pacePercent
    let answer = try await channels.channel(to: node).call(
      DataNodeMethods.controlNodeJob, request, options: Self.options)
    return answer.jobs.filter { $0.name == name }.map { $0.on(node) }
  }

  /// That a place has no such job is no refusal where another one has.
  private func judge(_ refusals: [DFSError], _ response: WireControlJobResponse, name: String) throws {
    if let refusal = refusals.first(where: { $0.code != .notFound }) {
      guard !response.jobs.isEmpty else { throw refusal }
      let places = response.jobs.count == 1 ? "1 place" : "\(response.jobs.count) places"
      throw DFSError(
        refusal.code, "job \(name) was reached in \(places), but \(refusal.message)",
        metadata: refusal.metadata)
    }
    guard response.jobs.isEmpty else { return }
    if !response.silentNodes.isEmpty {
      throw DFSError(
        .unavailable,
        """
        no job \(name) was reached, and \(response.silentNodes.count) datanodes do not answer; \
        "dfsd admin jobs" lists the jobs that can be reached
        """)
    }
    throw DFSError(.notFound, "there is no job \(name); \"dfsd admin jobs\" lists them")
  }
}

extension DFSError.Code {
  /// A datanode that can not answer, or that is of a version without these calls.
  fileprivate var isSilence: Bool {
    switch self {
    case .unavailable, .deadlineExceeded, .unimplemented, .stale: true
    default: false
    }
  }
}
