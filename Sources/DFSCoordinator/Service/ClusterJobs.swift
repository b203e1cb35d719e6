import DFSCore
import DFSJobs
import DFSRPC
import DFSWire

/// The background jobs of the whole cluster, as an operator sees them: the coordinator's own, and through one
/// short call each those of the datanodes in contact.
struct ClusterJobs: Sendable {
  let own: JobRunner
  let cluster: Cluster
  let channels: NodeChannels
  /// The coordinator's epoch, which orders to nodes carry.
  let epoch: @Sendable () -> Epoch

  /// A person waits for the slowest node.
  static let options = CallOptions(timeout: .seconds(2))
  /// Nodes that are asked side by side.
  private static let mostAtOnce = 64

  func register(in router: inout RPCRouter) {
    router.handle(CoordinatorMethods.listJobs) { request, _ in try await self.list(request) }
    router.handle(CoordinatorMethods.controlJob) { request, _ in try await self.control(request) }
  }

  /// The nodes to ask. Throws `.notFound` for a node that the cluster does not have.
  func targets(of scope: JobScope) throws -> [NodeID] {
    switch scope {
    case .coordinator: return []
    case .everywhere:
      return cluster.withState { $0.membership.present.filter { $0.life == .up }.map(\.id) }
    case .node(let node):
      guard let member = cluster.member(node), member.record.state != .removed else {
        throw DFSError(.notFound, "the cluster has no datanode \(node); \"dfsd admin nodes\" lists them")
      }
      guard member.life == .up else {
        throw DFSError(.unavailable, "datanode \(node) is out of contact; its jobs can not be reached")
      }
      return [node]
    }
  }

  /// Nodes that need not be asked, for they would not answer.
  func outOfContact(_ scope: JobScope) -> [NodeID] {
    guard case .everywhere = scope else { return [] }
    return cluster.withState { $0.membership.present.filter { $0.life != .up }.map(\.id) }
  }

  typealias Reply = (node: NodeID, result: Result<[WireJobStatus], DFSError>)

  func ask(
    _ nodes: [NodeID], _ call: @escaping @Sendable (NodeID) async throws -> [WireJobStatus]
  ) async -> [Reply] {
    await withTaskGroup(of: Reply.self) { group in
      var waiting = nodes.makeIterator()
      var replies: [Reply] = []
      func add(_ node: NodeID) {
        group.addTask {
          do { return (node, .success(try await call(node))) } catch {
            return (node, .failure(DFSError(wrapping: error, "datanode \(node) does not answer")))
          }
        }
      }
      for _ in 0..<Self.mostAtOnce { if let node = waiting.next() { add(node) } }
      for await reply in group {
        replies.append(reply)
        if let node = waiting.next() { add(node) }
      }
      return replies
    }
  }
}

/// Whose jobs are meant.
enum JobScope: Sendable, Hashable {
  case everywhere
  case coordinator
  case node(NodeID)

  /// The wire's zero stands for the coordinator.
  init(_ wire: UInt64?) {
    switch wire {
    case nil: self = .everywhere
    case 0: self = .coordinator
    case let node?: self = .node(NodeID(rawValue: node))
    }
  }

  var includesCoordinator: Bool { if case .node = self { false } else { true } }
}
