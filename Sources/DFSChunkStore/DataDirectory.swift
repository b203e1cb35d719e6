package import DFSCore

/// What the data directory says of itself; chosen at its formatting and never changed, but for the cluster, which is
/// adopted once.
package struct StoreIdentity: Hashable, Sendable {
  package var node: NodeID
  package var store: StoreID
  /// `nil` until the node has registered for the first time.
  package var cluster: ClusterID?

  package init(node: NodeID, store: StoreID, cluster: ClusterID?) {
    self.node = node
    self.store = store
    self.cluster = cluster
  }
}

/// The highest state of a coordinator that this node has seen: one that went backwards is refused.
package struct CoordinatorMark: Hashable, Sendable, Comparable {
  package var epoch: Epoch
  package var revision: Revision

  package init(epoch: Epoch, revision: Revision) {
    self.epoch = epoch
    self.revision = revision
  }

  package static let zero = CoordinatorMark(epoch: .zero, revision: .zero)
  package static func < (left: Self, right: Self) -> Bool {
    (left.epoch, left.revision) < (right.epoch, right.revision)
  }
}
