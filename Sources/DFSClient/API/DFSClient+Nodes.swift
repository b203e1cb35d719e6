import DFSCore
import DFSRPC
import DFSWire

/// What an operator may decide about a datanode.
public enum NodeAction: Sendable, Hashable {
  /// Ends draining, maintenance and distrust: it takes part again.
  case activate
  /// Its places move to other nodes; it serves until they have everything.
  case drain
  /// Announces a stop: nothing is repaired for it while it is away.
  case maintenance
  /// Takes it out of the cluster for good.
  case remove(NodeRemoval)
}

/// What the removal of a datanode may cost.
public enum NodeRemoval: Sendable, Hashable {
  /// Nothing: it is refused while chunks depend on the node.
  case whenUnneeded
  /// Chunks of which no other good copy is known.
  case forced
}

/// Whether datanodes can be stopped together.
public struct StopAdvice: Sendable, Hashable {
  /// Every group of chunks stays readable and writable without them.
  public var canStop: Bool
  public var groupsUnreadable: Int
  public var groupsUnwritable: Int
  /// A sentence for a person when the answer is no.
  public var reason: String
}

extension DFSClient {
  /// Changes what was decided about a datanode, durably, and gives the node as it is then; what follows from
  /// it (the copying of chunks) goes on in the background. Throws `.failedPrecondition` for a removal of a
  /// node that chunks depend on.
  @discardableResult
  public func change(_ node: NodeID, _ action: NodeAction) async throws -> NodeStatus {
    try await operation { [connection] in
      var request = WireChangeNodeRequest()
      request.node = node.rawValue
      switch action {
      case .activate: request.action = .activate
      case .drain: request.action = .drain
      case .maintenance: request.action = .maintenance
      case .remove(let removal):
        request.action = .remove
        request.force = removal == .forced
      }
      // The decision is the same however often it is sent.
      return NodeStatus(try await connection.read(CoordinatorMethods.changeNode, request).node)
    }
  }

  /// Whether these datanodes can be stopped together, now, without making anything unreadable or unwritable.
  public func canStop(_ nodes: [NodeID]) async throws -> StopAdvice {
    try await operation { [connection] in
      var request = WireCanStopRequest()
      request.nodes = nodes.map(\.rawValue)
      let answer = try await connection.read(CoordinatorMethods.canStop, request)
      return StopAdvice(
        canStop: answer.canStop, groupsUnreadable: Int(answer.groupsUnreadable),
        groupsUnwritable: Int(answer.groupsUnwritable), reason: answer.reason)
    }
  }
}
