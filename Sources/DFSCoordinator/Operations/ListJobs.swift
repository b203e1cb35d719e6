import DFSCore
import DFSWire

extension ClusterJobs {
  /// The coordinator's jobs and those of the datanodes in contact. A node that does not answer soon is named
  /// as silent and does not hold the others up; asked for alone, it is an error.
  func list(_ request: WireListJobsRequest) async throws -> WireListJobsResponse {
    var response = WireListJobsResponse()
    let scope = JobScope(request.hasNode ? request.node : nil)
    if scope.includesCoordinator { response.jobs = own.status.map { WireJobStatus($0) } }
    let replies = await ask(try targets(of: scope)) { try await self.jobs(of: $0) }
    for (node, reply) in replies.sorted(by: { $0.node < $1.node }) {
      switch reply {
      case .success(let jobs): response.jobs += jobs
      case .failure(let error):
        if case .node = scope { throw error }
        response.silentNodes.append(node.rawValue)
      }
    }
    response.silentNodes += outOfContact(scope).map(\.rawValue)
    response.silentNodes.sort()
    return response
  }

  private func jobs(of node: NodeID) async throws -> [WireJobStatus] {
    var request = WireListNodeJobsRequest()
    request.node = node.rawValue
    let answer = try await channels.channel(to: node).call(
      DataNodeMethods.listNodeJobs, request, options: Self.options)
    return answer.jobs.map { $0.on(node) }.sorted { $0.name < $1.name }
  }
}

extension WireJobStatus {
  /// Names the node itself: what a node says of others is not asked for.
  func on(_ node: NodeID) -> WireJobStatus {
    var status = self
    status.node = node.rawValue
    return status
  }
}
