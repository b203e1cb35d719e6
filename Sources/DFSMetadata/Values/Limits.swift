/// Bounds of the stored formats and of single operations. A test fills each of them.
package enum Limits {
  /// Chunk references in one segment, and indices in one allocation page.
  package static let segmentChunks = 512
  /// Chunk references that live inside the inode; more of them take segments.
  package static let inodeChunks = 16
  /// Segments of one file: 32 TiB of 8 MiB chunks, so that a commit that checks them all again stays short.
  package static let segments = 8192
  /// Nodes of which a row says that they had bad copies: its members, and others as long as there is room.
  package static let doubtedNodes = 32
  /// Chunk indices that one call may allocate.
  package static let allocation = 512
  /// Allocation pages that one seal may touch: more means that the client seals far from the order it
  /// allocated in.
  package static let pagesPerSeal = 8
  /// Groups that the chunks of one seal may be in: each may have to be marked in the seal's batch. Chunks in
  /// further groups are sent again; a planner that keeps to 48 groups for each upload never gets there.
  package static let groupsPerSeal = 96
  /// Directories that one `mkdir -p` may make; each takes two of a ledger's operations.
  package static let directoriesPerMake = 48
  /// Longest walk from a directory to the root. A renamed tree may hang up to twice as deep as a path may be.
  package static let deepestWalk = 1100
  /// Names of a removed tree that one step of reaping deals with.
  package static let namesPerReap = 256
  package static let userAttributes = 64
  package static let userAttributeBytes = 16384
  package static let ownerBytes = 255
  package static let zoneBytes = 255
  package static let nodeEndpoints = 8
  package static let receiptKeyBytes = 64
  package static let mostReplicas: UInt8 = 5
  /// Group rows that one mutation may change.
  package static let groupsPerChange = 64
  /// Orphans that one record condemns, and nodes that it names as their holders.
  package static let orphansPerRecord = 512
  package static let orphanHolders = 32
  /// Bytes of the path that a record of the trash remembers; of a longer one, the last directories.
  package static let trashPathBytes = 4096
  /// Records that one page of the trash looks at, whatever its filter finds.
  package static let trashScan = 10_000
  /// Entries of a listing's page.
  package static let listEntries = 1000
}
