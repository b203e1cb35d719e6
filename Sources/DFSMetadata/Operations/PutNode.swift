/// Registers a datanode, or changes what is known of one. A node that is `removed` stays so: another row for
/// its id or store id is refused. The store of a known node id cannot change, nor be another node's.
package struct PutNode: Mutation {
  package struct Outcome: Sendable, Hashable {
    package var isNew: Bool
  }

  package var node: ClusterNode
  package init(node: ClusterNode) { self.node = node }
}
