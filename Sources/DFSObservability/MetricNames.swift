/// Every metric of the product, in one place: `dfs_<role>_<noun>_<unit>`.
///
/// Modules below the roles do not import this one and write the same names as literals; a repository test checks
/// that each literal stands here, so an operator can trust this list.
package enum MetricNames {
  // Coordinator
  package static let coordinatorRoundSeconds = "dfs_coordinator_round_seconds"
  package static let coordinatorMutationsTotal = "dfs_coordinator_mutations_total"
  package static let coordinatorUploadsOpen = "dfs_coordinator_uploads_open"
  package static let coordinatorNodesTotal = "dfs_coordinator_nodes_total"
  package static let coordinatorReapedBytesTotal = "dfs_coordinator_reaped_bytes_total"
  package static let coordinatorBadReplicasTotal = "dfs_coordinator_bad_replicas_total"
  package static let coordinatorCondemnedChunksTotal = "dfs_coordinator_condemned_chunks_total"

  // Datanode
  package static let datanodeReceivedBytes = "dfs_datanode_received_bytes"
  package static let datanodeSentBytes = "dfs_datanode_sent_bytes"
  package static let datanodeTransfersOpen = "dfs_datanode_transfers_open"
  package static let datanodeChunksTotal = "dfs_datanode_chunks_total"
  package static let datanodeCorruptChunksTotal = "dfs_datanode_corrupt_chunks_total"
  package static let datanodeStragglersTotal = "dfs_datanode_stragglers_total"
  package static let datanodeSyncSeconds = "dfs_datanode_sync_seconds"
}
