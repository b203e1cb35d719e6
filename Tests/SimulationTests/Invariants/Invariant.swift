import DFSCore
import DFSMetadata

/// What happens in a world, as its checkers see it.
enum WorldEvent {
  case coordinatorLeads(Epoch, Int)
  case batchSettled(LedgerBatch, by: Int)
  /// What the metadata was is lost: an older copy is the truth now.
  case metadataRestored
  case groupChanged(from: PlacementGroup?, to: PlacementGroup)
  case uploadOpened(InodeID)
  case versionMade(InodeID)
  case versionGone(InodeID)
  case condemned(InodeID, ReapPage.Kind)
  /// A name stands for this version or directory now.
  case nameBound(InodeID)
  /// A client was told that its version is durable.
  case versionAcknowledged(InodeID)
  /// A client was told that it may read a version until then.
  case versionPinned(InodeID, until: Moment)
  /// A commit or a seal has counted these holders of each chunk.
  case chunksCounted([CountedChunk])
  /// A deletion has lost its time in the trash because the disks were nearly full.
  case trashRelieved(DeletionID)
  /// A process has opened the real chunk store of its disk, or could not, or it does what it must not.
  case storeOpened(Disk)
  case storeFailed(String)
  /// An order of a coordinator was obeyed.
  case orderObeyed(Epoch, NodeID, StoreID)
  case registrationRefused(DFSError, Int)
  case replicaStored(ChunkID, GroupID, NodeID, Digest)
  /// The system itself took a replica away.
  case replicaRemoved(ChunkID, GroupID, NodeID, RemovalCause, wasGood: Bool)
  /// A fault took a replica or its bytes.
  case replicaDestroyed(ChunkID, GroupID, NodeID)
}

enum RemovalCause {
  /// Condemned, and its time has come.
  case reaped
  /// A copy on a node that is no member of the group.
  case stray
  /// Its bytes are wrong.
  case quarantine
  /// An operator took the disk away, which the cluster had called safe.
  case operatorWiped
}

struct CountedChunk {
  var chunk: ChunkID
  var group: GroupID
  /// Whose receipts were genuine.
  var holders: [StoredChunk.Holder]
}

/// Something that must always hold. One file each; it keeps its own books and trusts none of the product's.
protocol Invariant {
  var name: String { get }
  /// Sees an event; answers with what is broken.
  mutating func observe(_ event: WorldEvent, in world: World) -> String?
  /// Looks at the world when faults are over, everything was mended and there was time to heal.
  mutating func checkAtRest(in world: World) -> String?
}

extension Invariant {
  mutating func observe(_ event: WorldEvent, in world: World) -> String? { nil }
  mutating func checkAtRest(in world: World) -> String? { nil }
}

enum Invariants {
  /// Every one of them.
  static func all() -> [any Invariant] {
    [
      LivingChunksAreKept(), DeadIDsStayDead(), LastGoodCopyStays(), OnlyMembersCount(),
      OneLeaderPerEpoch(), ZonesAreApart(), FullMembersHaveEverything(), PinnedVersionsStay(),
      AcknowledgedVersionsAreDurable(), NothingIsLost(), CopiesReturnToTarget(), TrashKeepsItsTime(),
      StoresKeepTheirWord(),
    ]
  }
}
