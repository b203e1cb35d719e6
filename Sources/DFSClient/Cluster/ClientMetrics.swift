import Metrics

/// What a program that uses the library can ask of it. Names stand in `MetricNames`.
struct ClientMetrics: Sendable {
  /// Acknowledged as durable.
  let uploadedBytes = Counter(label: "dfs_client_uploaded_bytes")
  /// Verified against their hashes.
  let downloadedBytes = Counter(label: "dfs_client_downloaded_bytes")
  /// Chunks sent again because a datanode failed.
  let rewrittenChunks = Counter(label: "dfs_client_rewritten_chunks_total")
  /// Reads that went on at another replica.
  let failedReplicas = Counter(label: "dfs_client_failed_replicas_total")
  /// Reads that were also sent to a second replica.
  let hedgedReads = Counter(label: "dfs_client_hedged_reads_total")
}
