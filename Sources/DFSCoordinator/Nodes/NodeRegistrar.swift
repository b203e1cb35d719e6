package import DFSCore
import DFSCrypto
package import DFSMetadata
package import Logging

/// Takes nodes in: their records are durable before they are answered. One change of a node's record at a
/// time, so that what is in memory and what is in the metadata never part.
package actor NodeRegistrar {
  private let namespace: Namespace
  private let cluster: Cluster
  private let logger: Logger
  private var inFlight: Set<NodeID> = []

  package init(namespace: Namespace, cluster: Cluster, logger: Logger) {
    self.namespace = namespace
    self.cluster = cluster
    self.logger = logger
  }

  /// Registers a node and gives its record. Throws the refusals of `Membership.admit`, and `.unavailable`
  /// while another registration of the same node is under way.
  package func register(_ registration: Registration, now: ContinuousClock.Instant) async throws
    -> ClusterNode
  {
    try claim(registration.node)
    defer { inFlight.remove(registration.node) }
    let authority = Membership.Authority(
      cluster: namespace.cluster, epoch: namespace.epoch, revision: namespace.revision,
      startRevision: namespace.startRevision)
    let newKey = try SecureRandom.bytes(32)
    let (record, known) = try cluster.withState { state in
      let known = state.membership[registration.node]?.record
      return (try state.membership.admit(registration, authority: authority, newKey: newKey), known)
    }
    if record != known { _ = try await namespace.mutate(PutNode(node: record)) }
    let transitions = cluster.withState {
      $0.membership.register(registration, record: record, now: now)
    }
    logger.info(
      "node registered",
      metadata: [
        "node": "\(record.id)", "boot": "\(record.boot)", "address": "\(registration.address)",
        "zone": "\(record.zone)", "capacity": "\(record.capacity)", "new": "\(known == nil)",
        "came_back": "\(known != nil && !transitions.isEmpty)",
      ])
    return record
  }

  /// Makes the record of a node durable as membership has it now.
  package func save(_ node: NodeID) async throws {
    try claim(node)
    defer { inFlight.remove(node) }
    guard let record = cluster.withState({ $0.membership.saving(node) }) else { return }
    do {
      _ = try await namespace.mutate(PutNode(node: record))
    } catch {
      cluster.withState { $0.membership.savingFailed(node) }
      throw error
    }
  }

  /// Does what an operator wants of a node; durable when it returns the record. Throws the refusals of
  /// `Membership.record(after:)`, and `.unavailable` while the node registers.
  package func change(_ node: NodeID, _ action: NodeAction) async throws -> ClusterNode {
    try claim(node)
    defer { inFlight.remove(node) }
    let isHeld = namespace.isHeld
    let (record, known) = try cluster.withState { state in
      let record = try state.membership.record(
        after: action, of: node, table: state.table, losses: state.losses, isHeld: isHeld)
      return (record, state.membership[node]?.record)
    }
    guard record != known else { return record }
    _ = try await namespace.mutate(PutNode(node: record))
    _ = cluster.withState { $0.membership.decided(record) }
    logger.notice(
      "node changed by an operator",
      metadata: ["node": "\(node)", "state": "\(record.state)", "suspect": "\(record.isSuspect)"])
    return record
  }

  private func claim(_ node: NodeID) throws {
    guard inFlight.insert(node).inserted else {
      throw DFSError(.unavailable, "another change of node \(node) is under way; try again")
    }
  }
}
