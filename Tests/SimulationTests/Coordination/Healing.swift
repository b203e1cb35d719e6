import DFSCore

/// What a coordinator's repair, sweep and stray jobs remember.
struct HealingState {}

extension CoordinatorProcess {
  func startHealing() {}

  /// A node has found a replica of its own bad and moved it aside.
  func found(bad chunk: ChunkID, _ group: GroupID, on node: NodeID) {}

  /// A reader has found a replica bad or missing.
  func reported(_ chunk: ChunkID, _ group: GroupID, _ node: NodeID) {}
}
