import Metrics

/// What the transport counts, through swift-metrics.
enum TransportMetrics {
  static let received = Counter(label: "dfs_transport_received_bytes")
  static let sent = Counter(label: "dfs_transport_sent_bytes")
  static let accepted = Counter(label: "dfs_transport_accepted_connections")
  static let refused = Counter(label: "dfs_transport_refused_peers")
  static let connections = Meter(label: "dfs_transport_open_connections")
}
