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
  /// Nodes that are being emptied, that were stopped on purpose, and that lost too many chunks to be trusted.
  public var nodesDraining = 0
  public var nodesMaintenance = 0
  public var nodesSuspect = 0
  /// Chunks by the number of good copies in contact: none, exactly one, exactly two while more are wanted.
  public var chunksUnreadable: UInt64 = 0
  public var chunksOnOneCopy: UInt64 = 0
  public var chunksOnTwoCopies: UInt64 = 0
  public var repair = Repair()
  public var scrub = Scrub()
  /// Deletions that can be undone.
  public var trashEntries: UInt64 = 0
  /// Copies of the metadata on datanodes.
  public var metadataCopies: [MetadataCopy] = []
  /// After a restore, until a person releases it: nothing is deleted.
  public var isHeld = false
  /// The last completed check of all chunks; `nil` while there was none.
  public var check: Check?
  /// Sentences on what only a person can do, most urgent first; empty when nothing is needed.
  public var actions: [String] = []

  /// What is being copied because copies are missing.
  public struct Repair: Sendable, Hashable {
    /// Groups being worked on.
    public var groups = 0
    /// What is still to be copied, as far as it is counted.
    public var chunksLeft: UInt64 = 0
    public var bytesLeft = ByteCount.zero
    /// Bytes a second, lately.
    public var bytesPerSecond = ByteCount.zero
    public var timeLeft: Duration?
    /// Since the coordinator started.
    public var repairedChunks: UInt64 = 0
    public var repairedBytes = ByteCount.zero
  }

  /// How far stored chunks have been verified against their hashes.
  public struct Scrub: Sendable, Hashable {
    /// Since the oldest completed pass of a node in contact; `nil` while one has never completed.
    public var sinceOldestPass: Duration?
    /// The part of the chunks that the present passes have verified, from 0 to 1.
    public var part: Double = 0
  }

  /// A copy of the coordinator's metadata on a datanode.
  public struct MetadataCopy: Sendable, Hashable {
    public var node: NodeID
    /// The last round that is durable there.
    public var round: UInt64
    /// How far behind the coordinator that is, and for how long it has been behind.
    public var lagRounds: UInt64
    public var lag: Duration
    /// False while it cannot be restored from.
    public var isComplete: Bool
  }

  /// The result of comparing what nodes have with what the metadata wants.
  public struct Check: Sendable, Hashable {
    /// Counts the checks since the coordinator started, from 1.
    public var number: UInt64
    public var sinceEnd: Duration
    /// Chunks that no member had, and the ids of some.
    public var missingChunks: UInt64
    public var missingNamed: [String]
    /// Copies that members lacked: they are being repaired.
    public var lackedCopies: UInt64
    /// Stored chunks that nothing refers to, and copies on nodes that are no members: they are being removed.
    public var orphans: UInt64
    public var strays: UInt64
    /// Groups of chunks that were passed over because a node was away.
    public var skippedGroups: Int
  }
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
  /// Bad replicas that it has moved aside.
  public var quarantined: UInt64 = 0
  /// Since its last completed scrub; `nil` before the first.
  public var sinceScrub: Duration?
  /// The part of the present scrub that is done, from 0 to 1.
  public var scrubPart: Double = 0
  /// Many chunks went bad in a short time: it takes no writes until a person activates it.
  public var isSuspect = false
  /// Chunks that it still holds for others while it is drained; zero when it can be removed.
  public var drainChunksLeft: UInt64 = 0
}
