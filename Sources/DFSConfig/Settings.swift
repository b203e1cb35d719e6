package import DFSCore

/// What a process was told, checked and with its units: plain values, no way back to the file.
package struct Settings: Sendable, Equatable {
  package var cluster: ClusterSettings
  package var coordinator: CoordinatorSettings
  package var datanode: DataNodeSettings
  package var client: ClientSettings
  package var log: LogSettings
}

/// The part that must agree on all nodes.
package struct ClusterSettings: Sendable, Equatable {
  package var coordinators: [Endpoint]
  /// Whether a server may listen on a public address without TLS.
  package var insecure: Bool
  /// `nil` where the cluster speaks plain HTTP/2.
  package var tls: TLSSettings?
  package var transport: TransportSettings
}

/// Paths of PEM files. A client needs a certificate only when the servers demand one.
package struct TLSSettings: Sendable, Equatable {
  package var certificate: String?
  package var key: String?
  /// `nil` trusts the system's authorities.
  package var authorities: String?
  package var mutual: Bool
}

package struct TransportSettings: Sendable, Equatable {
  /// `nil` takes one event loop per core.
  package var loops: Int?
  package var maxMessage: ByteCount
  package var streamWindow: ByteCount
  package var connectionWindow: ByteCount
  package var frameSize: ByteCount
  package var maxStreams: Int
  package var maxConnections: Int
  package var maxHeaderList: ByteCount
  package var keepaliveInterval: Duration
  package var keepaliveTimeout: Duration
  /// `nil` keeps idle connections.
  package var idleTimeout: Duration?
  /// `nil` keeps old connections.
  package var maxAge: Duration?
  package var connectTimeout: Duration
  package var drainGrace: Duration
}

package struct CoordinatorSettings: Sendable, Equatable {
  package var listen: Endpoint
  package var data: String
  package var chunkSize: ChunkSize
  package var replicas: Int
  package var inlineLimit: ByteCount
  package var downAfter: Duration
  /// Zero: as soon as its connection breaks.
  package var outAfter: Duration
  package var suspectAfter: Int
  package var uploadLease: Duration
  package var pinLease: Duration
  package var snapshotLifetime: Duration
  package var snapshotLimit: Int
  package var trashRetention: Duration
  package var trashEntries: Int
  package var reapGrace: Duration
  package var checkPeriod: Duration
  package var resultRetention: Duration
  package var metadataCopies: Int
  package var queueLimit: Int
  package var cache: ByteCount
  package var diskThreads: Int
}

package struct DataNodeSettings: Sendable, Equatable {
  package var listen: Endpoint
  /// `nil` for the address it listens on.
  package var advertise: Endpoint?
  package var data: String
  /// `nil` where nothing but the node itself fails together.
  package var zone: String?
  package var reserve: ByteCount
  package var smallChunkLimit: ByteCount
  package var receiveBudget: ByteCount
  package var maxTransfers: Int
  package var stragglerTimeout: Duration
  package var heartbeatInterval: Duration
  package var cache: ByteCount
  /// `nil` for all that clients leave.
  package var repairRate: ByteCount?
  package var scrubPeriod: Duration
  package var diskThreads: Int
}

package struct ClientSettings: Sendable, Equatable {
  package var parallelism: Int
  package var memoryBudget: ByteCount
  package var timeout: Duration
  package var stallTimeout: Duration
  package var writeStallTimeout: Duration
  /// `nil` never asks a second datanode.
  package var hedgeAfter: Duration?
  /// `nil` for the system's temporary directory.
  package var spool: String?
}

package struct LogSettings: Sendable, Equatable {
  package enum Format: String, Sendable { case auto, text, json }
  /// A level of swift-log by its name.
  package var level: String
  package var format: Format
}
