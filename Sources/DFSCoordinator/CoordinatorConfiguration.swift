package import DFSCore
package import DFSMetadata
package import DFSRPC

/// What an operator or a test may set of a coordinator. The defaults are the product's.
package struct CoordinatorConfiguration: Sendable {
  /// Its directory: lock, identity and database.
  package var data: String
  /// How and where it serves.
  package var server: RPCServer.Configuration
  /// How it calls datanodes.
  package var channel = RPCChannel.Configuration()
  package var chunkSize = ChunkSize.standard
  package var namespace = NamespaceConfiguration()
  package var membership = Membership.Limits()
  package var placement = GroupPlanner.Rules()
  /// How often the check looks at each group.
  package var checkPeriod = Duration.seconds(86_400)
  /// So long after its start the coordinator waits for as many nodes as a first write wants replicas.
  package var settleTime = Duration.seconds(3)
  /// Memory for the database's blocks.
  package var cache = ByteCount.mib(32)
  /// Threads for calls that wait for the disk.
  package var diskThreads = 8
  /// A start compares all records with their digest before it serves, but not for longer.
  package var startInspection = Duration.seconds(20)
  /// Datanodes that keep a copy of the metadata.
  package var metadataCopies = 2
  /// How long running calls may go on when it stops.
  package var drainGrace = Duration.seconds(10)
  /// Version of the program, as `status` shows it.
  package var version = "0"

  package init(data: String, server: RPCServer.Configuration) {
    self.data = data
    self.server = server
  }

  /// Files without a policy of their own or their directory's have so many replicas.
  package var policy: PlacementPolicy {
    get { namespace.defaultPolicy }
    set { namespace.defaultPolicy = newValue }
  }
}
