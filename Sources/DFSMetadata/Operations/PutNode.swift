import DFSCore

/// Registers a datanode, or changes what is known of one. A node that is `removed` stays so: another row for
/// its id is refused. The store of a known node id can not change.
package struct PutNode: Mutation {
  package struct Outcome: Sendable, Hashable {
    package var isNew: Bool
  }

  package var node: ClusterNode
  package init(node: ClusterNode) { self.node = node }
}

extension PutNode {
  package static var kind: OperationKind { .putNode }

  package func encodeArguments(to writer: inout RecordWriter) { NodeRecord(node).writeFields(to: &writer) }
  package static func encode(_ outcome: Outcome, to writer: inout RecordWriter) {
    writer.byte(outcome.isNew ? 1 : 0)
  }
  package static func decodeOutcome(from reader: inout RecordReader) throws -> Outcome {
    Outcome(isNew: try reader.optional { _ in } != nil)
  }

  package func execute(in transaction: inout Transaction) throws -> Outcome {
    guard node.zone.utf8.count <= Limits.zoneBytes, node.endpoints.count <= Limits.nodeEndpoints,
      node.endpoints.allSatisfy({ $0.host.utf8.count <= 255 && (1...65535).contains($0.port) }),
      node.receiptKey.count <= Limits.receiptKeyBytes, node.capacity >= .zero
    else { throw DFSError(.invalidArgument, "the row of node \(node.id) is beyond the limits of its fields") }
    let before = try transaction.nodeRow(node.id)
    if let before {
      guard before.state != .removed else {
        throw DFSError(
          .failedPrecondition, "node \(node.id) was removed from the cluster for good: format it anew")
      }
      guard before.store == node.store else {
        throw DFSError(
          .failedPrecondition,
          "node \(node.id) comes with store \(node.store) and was known with \(before.store): "
            + "its disk was wiped or its directory replaced; give it a new identity")
      }
    }
    if before == node { return Outcome(isNew: false) }
    if before?.state.holdsChunks == true, !node.state.holdsChunks { transaction.membersChanged() }
    try transaction.put(NodeRecord(node), at: Keys.node(node.id))
    return Outcome(isNew: before == nil)
  }
}
