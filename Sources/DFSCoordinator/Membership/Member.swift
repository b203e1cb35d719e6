package import DFSCore
package import DFSMetadata

/// A node as the coordinator sees it now: its durable record, and what is known of it in this life.
package struct Member: Sendable {
  /// Contact alone; what an operator decided is `ClusterNode.state`.
  package enum Life: Sendable, Hashable {
    case up
    case down
    case out
  }

  package var record: ClusterNode
  package var life: Life
  package var lastContact: ContinuousClock.Instant
  /// The boot that registered with this coordinator; `nil` until it did.
  package var boot: BootID?
  /// Earlier boots, oldest first: a receipt made under one of them still counts.
  package var pastBoots: [BootID] = []
  /// Superseded boots that spoke again: two processes run on copies of one directory, so theirs do not count.
  package var distrustedBoots: Set<BootID> = []
  package var report: NodeReport?
  /// It said that it stops on purpose; it has not spoken since.
  package var isStopping = false
  /// Would be out, but for the storm brake.
  package var isHeldByBrake = false
  /// Heartbeat streams that are open, and when the last of them broke.
  package var streams = 0
  package var streamEndedAt: ContinuousClock.Instant?
  package var steadiness = Steadiness()
  package var badReplicas = BadReplicaRate()
  /// Machine and disk, and the program's version, as it registered.
  package var disk = ""
  package var version = ""

  package init(record: ClusterNode, lastContact: ContinuousClock.Instant) {
    self.record = record
    self.lastContact = lastContact
    life = record.state == .out ? .out : .up
  }

  package var id: NodeID { record.id }
  /// Clients and peers should try it.
  package var isReachable: Bool { life == .up && record.state.holdsChunks }
  /// Orders may go to it: it has registered with this coordinator, so its address is right.
  package var isInContact: Bool { isReachable && boot != nil }
  /// New chunks may go to it.
  package var isWritable: Bool {
    isReachable && record.state == .active && !record.isSuspect && (report?.isWritable ?? true)
  }
  /// May be given slots: it has registered with this coordinator, and stays.
  package var isEligible: Bool { isWritable && boot != nil && !steadiness.isOnProbation }
  /// Its slots are to be given away: it failed, or was removed.
  package var isGone: Bool { life == .out || !record.state.holdsChunks }
  package var free: ByteCount { report?.free ?? record.capacity }
  package var zone: Zone { Zone(name: record.zone, node: record.id) }
  /// The boots whose receipts count, the current one first.
  package var trustedBoots: [BootID] {
    [record.boot] + pastBoots.reversed().filter { !distrustedBoots.contains($0) }
  }

  mutating func touch(_ now: ContinuousClock.Instant) {
    lastContact = max(lastContact, now)
    isStopping = false
    isHeldByBrake = false
    streamEndedAt = nil
  }
}

/// A failure zone for placement.
package enum Zone: Hashable, Sendable {
  case named(String)
  case alone(NodeID)

  /// A node without a zone is a zone of its own.
  package init(name: String, node: NodeID) { self = name.isEmpty ? .alone(node) : .named(name) }
}

/// What a node says of itself when it registers.
package struct Registration: Sendable {
  package var node: NodeID
  package var store: StoreID
  package var boot: BootID
  /// The cluster that its directory belongs to; `nil` for a fresh one.
  package var cluster: ClusterID?
  package var address: Endpoint
  package var zone: String
  package var capacity: ByteCount
  package var highestEpoch: Epoch
  package var highestRevision: Revision
  /// Machine and disk.
  package var disk: String
  package var version: String

  package init(
    node: NodeID, store: StoreID, boot: BootID, cluster: ClusterID?, address: Endpoint, zone: String = "",
    capacity: ByteCount, highestEpoch: Epoch = .zero, highestRevision: Revision = .zero, disk: String = "",
    version: String = ""
  ) {
    self.node = node
    self.store = store
    self.boot = boot
    self.cluster = cluster
    self.address = address
    self.zone = zone
    self.capacity = capacity
    self.highestEpoch = highestEpoch
    self.highestRevision = highestRevision
    self.disk = disk
    self.version = version
  }
}

/// What a node says in a heartbeat.
package struct NodeReport: Sendable {
  package var node: NodeID
  package var boot: BootID
  package var capacity: ByteCount
  package var free: ByteCount
  package var stored: ByteCount
  package var chunks: UInt64
  package var isWritable: Bool
  package var reason: String
  package var isStopping: Bool
  /// Replicas that it has moved aside because they were bad.
  package var quarantined: UInt64 = 0
  /// How far it has verified its chunks; `nil` from a node that does not tell.
  package var scrub: Scrub?

  /// How far a node has verified its chunks.
  package struct Scrub: Sendable, Hashable {
    /// Since the last completed pass; `nil` before the first.
    package var sinceLastPass: Duration?
    /// Chunks verified in the present pass, and chunks there are.
    package var done: UInt64
    package var total: UInt64

    package init(sinceLastPass: Duration?, done: UInt64, total: UInt64) {
      self.sinceLastPass = sinceLastPass
      self.done = done
      self.total = total
    }
  }

  /// It takes no writes because its disk is full. The protocol has one sentence for the reason, which a
  /// datanode words itself.
  package var isFull: Bool { !isWritable && reason.hasPrefix("the disk is full") }

  package init(
    node: NodeID, boot: BootID, capacity: ByteCount, free: ByteCount, stored: ByteCount = .zero,
    chunks: UInt64 = 0, isWritable: Bool = true, reason: String = "", isStopping: Bool = false
  ) {
    self.node = node
    self.boot = boot
    self.capacity = capacity
    self.free = free
    self.stored = stored
    self.chunks = chunks
    self.isWritable = isWritable
    self.reason = reason
    self.isStopping = isStopping
  }
}

/// A change of a node's life, for the log and for whoever acts on it.
package struct Transition: Sendable, Hashable {
  package var node: NodeID
  package var from: Member.Life
  package var to: Member.Life

  package init(node: NodeID, from: Member.Life, to: Member.Life) {
    self.node = node
    self.from = from
    self.to = to
  }
}
