import DFSCore
import DFSWire

extension CoordinatorService {
  /// Makes an operator's decision about a node durable; what follows from it is the planner's work.
  func changeNode(_ request: WireChangeNodeRequest) async throws -> WireChangeNodeResponse {
    let action = try NodeAction(request)
    let node = NodeID(rawValue: request.node)
    _ = try await registrar.change(node, action)
    let time = now()
    var response = WireChangeNodeResponse()
    if let wire = cluster.withState({ state in
      state.membership[node].map { WireNode($0, in: state, now: time) }
    }) {
      response.node = wire
    }
    return response
  }
}

extension NodeAction {
  fileprivate init(_ wire: WireChangeNodeRequest) throws {
    switch wire.action {
    case .activate: self = .activate
    case .drain: self = .drain
    case .maintenance: self = .maintenance
    case .remove: self = .remove(wire.force ? .forced : .ifSafe)
    case .unspecified:
      throw DFSError(.invalidArgument, "the request does not say what to do with the node")
    case .UNRECOGNIZED(let number):
      throw DFSError(.unimplemented, "this coordinator knows no node action \(number); update it")
    }
  }
}
