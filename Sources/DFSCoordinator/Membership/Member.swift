package import DFSCore

/// What outlives the coordinator of one node.
package struct MemberRecord: Hashable, Sendable {
  /// What an operator decided. The last three are kept and honoured; the commands that set them come with
  /// repair.
  package enum Standing: UInt8, Sendable, CaseIterable {
    case active = 0
    case draining = 1
    case maintenance = 2
    case removed = 3
  }

  package var node: NodeID
  package var store: StoreID
  package var address: Endpoint
  /// Failure zone; empty makes the node a zone of its own.
  package var zone: String
  package var capacity: ByteCount
  package var standing: Standing
  /// Its latest starts, the current one last: receipts made under any of them are valid.
  package var boots: [BootID]
  /// Machine and disk.
  package var disk: String
  package var version: String

  package init(
    node: NodeID, store: StoreID, address: Endpoint, zone: String = "", capacity: ByteCount,
    standing: Standing = .active, boots: [BootID] = [], disk: String = "", version: String = ""
  ) {
    self.node = node
    self.store = store
    self.address = address
    self.zone = zone
    self.capacity = capacity
    self.standing = standing
    self.boots = boots
    self.disk = disk
    self.version = version
  }
}

/// A node as the coordinator sees it now.
package struct Member: Sendable {
  /// Contact alone; what an operator decided is `MemberRecord.standing`.
  package enum Life: Sendable, Hashable {
    case up
    case down
    case out
  }

  package var record: MemberRecord
  package var life: Life = .up
  package var lastContact: ContinuousClock.Instant
  /// The boot that registered with this coordinator; `nil` until it did.
  package var boot: BootID?
  package var report: NodeReport?
  package var isStopping = false
  /// Would be out, but for the storm brake.
  package var isHeldByBrake = false
  /// Superseded boots that spoke again.
  package var distrustedBoots: Set<BootID> = []

  package init(record: MemberRecord, lastContact: ContinuousClock.Instant) {
    self.record = record
    self.lastContact = lastContact
  }

  /// Clients and peers should try it.
  package var isReachable: Bool { life == .up && record.standing != .removed }
  /// New chunks may go to it.
  package var isWritable: Bool {
    isReachable && record.standing == .active && (report?.isWritable ?? true)
  }
  /// May be given slots.
  package var isEligible: Bool { isWritable && boot != nil }
  package var free: ByteCount { report?.free ?? record.capacity }

  /// The zone that placement counts: a node without one is a zone of its own.
  package var zone: Zone { Zone(name: record.zone, node: record.node) }

  mutating func touch(_ now: ContinuousClock.Instant) {
    lastContact = max(lastContact, now)
    isStopping = false
    isHeldByBrake = false
  }
}

/// A failure zone for placement.
package enum Zone: Hashable, Sendable {
  case named(String)
  case alone(NodeID)

  package init(name: String, node: NodeID) { self = name.isEmpty ? .alone(node) : .named(name) }
}

/// What a node says of itself when it registers.
package struct Registration: Sendable {
  package var record: MemberRecord
  package var boot: BootID
  /// The cluster that its directory belongs to; `nil` for a fresh one.
  package var cluster: ClusterID?
  package var highestEpoch: Epoch
  package var highestRevision: Revision

  package init(
    record: MemberRecord, boot: BootID, cluster: ClusterID?, highestEpoch: Epoch = .zero,
    highestRevision: Revision = .zero
  ) {
    self.record = record
    self.boot = boot
    self.cluster = cluster
    self.highestEpoch = highestEpoch
    self.highestRevision = highestRevision
  }
}

/// What a registration changed.
package struct RegistrationOutcome: Sendable {
  package var record: MemberRecord
  package var isNew: Bool
  /// The record differs from the one before and is to be made durable before the node is answered.
  package var recordChanged: Bool
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
