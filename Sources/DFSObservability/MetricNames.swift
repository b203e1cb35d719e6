/// Every metric of the product, in one place: `dfs_<role>_<noun>_<unit>`.
///
/// Modules below the roles do not import this one and write the same names as literals; a repository test
/// checks that each literal stands here, so an operator can trust this list.
package enum MetricNames {
  // Coordinator
  package static let coordinatorRoundSeconds = "dfs_coordinator_round_seconds"
  package static let coordinatorMutationsTotal = "dfs_coordinator_mutations_total"
  package static let coordinatorUploadsOpen = "dfs_coordinator_uploads_open"
  package static let coordinatorNodesTotal = "dfs_coordinator_nodes_total"
  package static let coordinatorReapedBytesTotal = "dfs_coordinator_reaped_bytes_total"
  package static let coordinatorRefusedReceiptsTotal = "dfs_coordinator_refused_receipts_total"
  package static let coordinatorBadReplicasTotal = "dfs_coordinator_bad_replicas_total"
  package static let coordinatorMetadataCopiesTotal = "dfs_coordinator_metadata_copies_total"
  package static let coordinatorMetadataLagSeconds = "dfs_coordinator_metadata_lag_seconds"
  package static let coordinatorMissingChunksTotal = "dfs_coordinator_missing_chunks_total"
  package static let coordinatorOrphansTotal = "dfs_coordinator_orphans_total"
  package static let coordinatorStraysRemovedTotal = "dfs_coordinator_strays_removed_total"

  // Datanode
  package static let datanodeReceivedBytes = "dfs_datanode_received_bytes"
  package static let datanodeSentBytes = "dfs_datanode_sent_bytes"
  package static let datanodeTransfersOpen = "dfs_datanode_transfers_open"
  package static let datanodeChunksTotal = "dfs_datanode_chunks_total"
  package static let datanodeCorruptChunksTotal = "dfs_datanode_corrupt_chunks_total"
  package static let datanodeStragglersTotal = "dfs_datanode_stragglers_total"
  package static let datanodeCopiedBytes = "dfs_datanode_copied_bytes"
  package static let datanodeCopiedChunksTotal = "dfs_datanode_copied_chunks_total"
  package static let datanodeFailedCopiesTotal = "dfs_datanode_failed_copies_total"
  package static let datanodeScrubbedBytes = "dfs_datanode_scrubbed_bytes"
  package static let datanodeScrubbedChunksTotal = "dfs_datanode_scrubbed_chunks_total"
  package static let datanodeQuarantinedChunks = "dfs_datanode_quarantined_chunks"
  package static let datanodeSyncSeconds = "dfs_datanode_sync_seconds"

  // Client
  package static let clientUploadedBytes = "dfs_client_uploaded_bytes"
  package static let clientDownloadedBytes = "dfs_client_downloaded_bytes"
  package static let clientRewrittenChunksTotal = "dfs_client_rewritten_chunks_total"
  package static let clientFailedReplicasTotal = "dfs_client_failed_replicas_total"
  package static let clientHedgedReadsTotal = "dfs_client_hedged_reads_total"

  // Calls, both roles
  package static let rpcHandledCalls = "dfs_rpc_handled_calls"
  package static let rpcFailedCalls = "dfs_rpc_failed_calls"
  package static let rpcActiveCalls = "dfs_rpc_active_calls"
  package static let rpcHandlingSeconds = "dfs_rpc_handling_seconds"
  package static let rpcClientRetries = "dfs_rpc_client_retries"

  // Connections, both roles
  package static let transportAcceptedConnections = "dfs_transport_accepted_connections"
  package static let transportOpenConnections = "dfs_transport_open_connections"
  package static let transportRefusedPeers = "dfs_transport_refused_peers"
  package static let transportReceivedBytes = "dfs_transport_received_bytes"
  package static let transportSentBytes = "dfs_transport_sent_bytes"
}
