/// The state of the cluster at a glance.
public struct ClusterStatus: Sendable, Hashable {
  public var cluster: ClusterID
  /// The version of the coordinator's program.
  public var version: String
  public var epoch: Epoch
  public var revision: Revision
  public var uptime: Duration
  public var nodesUp: Int
  public var nodesDown: Int
  public var nodesOut: Int
  public var capacity: ByteCount
  public var free: ByteCount
  /// What new files may take, at the cluster's number of replicas.
  public var usable: ByteCount
  /// What chunks take on all disks.
  public var stored: ByteCount
  public var files: UInt64
  public var directories: UInt64
  public var chunks: UInt64
  /// The sum of the lengths of all files.
  public var fileBytes: ByteCount
  public var groups: Int
  /// Groups with fewer full members than replicas.
  public var groupsDegraded: Int
  /// Groups whose chunks cannot be read now.
  public var groupsUnreadable: Int
  /// Groups that take no new chunks now.
  public var groupsUnwritable: Int
  /// An upper bound of the copies that are missing.
  public var chunksAtRisk: UInt64
  /// Replicas reported bad since the coordinator started.
  public var badReplicas: UInt64
  /// Versions that wait for their deletion.
  public var condemned: UInt64
  public var openUploads: UInt64
  public var replicas: Int
  public var chunkSize: ChunkSize?
  /// Whether all datanodes share one disk, as under `dfsd up`: then no number of copies survives that disk.
  public var isSingleDisk: Bool
  /// Sentences for a person, most urgent first.
  public var warnings: [String]
}

/// What the coordinator knows of a datanode.
public struct NodeStatus: Sendable, Hashable {
  public enum State: String, Sendable, Codable {
    case up, down, out, draining, maintenance, removed, unknown
  }
  public var id: NodeID
  public var address: String
  public var zone: String
  public var state: State
  public var capacity: ByteCount
  public var free: ByteCount
  public var stored: ByteCount
  public var chunks: UInt64
  /// Places in the group table.
  public var slots: Int
  public var isWritable: Bool
  /// Why it takes no writes.
  public var reason: String
  public var lastContact: Duration
  public var version: String
}
