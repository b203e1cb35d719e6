import DFSCore
import DFSWire

extension CoordinatorService {
  /// Looks ahead: the answer is for this moment, a node that fails afterwards changes it.
  func canStop(_ request: WireCanStopRequest) throws -> WireCanStopResponse {
    guard !request.nodes.isEmpty else {
      throw DFSError(.invalidArgument, "the request names no node that would be stopped")
    }
    try check(request.nodes.count, atMost: 1000, "nodes")
    let nodes = Set(request.nodes.map { NodeID(rawValue: $0) })
    let forecast = try cluster.withState { state in
      for node in nodes.sorted() where state.membership[node] == nil {
        throw DFSError(.notFound, "there is no node \(node); see `dfsd admin nodes`")
      }
      return StopForecast(stopping: nodes, table: state.table, membership: state.membership)
    }
    var response = WireCanStopResponse()
    response.canStop = forecast.canStop
    response.groupsUnreadable = UInt32(clamping: forecast.unreadable)
    response.groupsUnwritable = UInt32(clamping: forecast.unwritable)
    response.reason = forecast.reason
    return response
  }
}
