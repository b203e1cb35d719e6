import DFSCodec
package import DFSCore

/// What a store knows of one chunk without reading its bytes.
package struct ChunkDescription: Hashable, Sendable {
  package var chunk: ChunkID
  package var group: GroupID
  /// Bytes of the chunk, 1 to 64 MiB.
  package var length: Int
  /// Root of the Merkle tree over its blocks.
  package var root: Digest
  /// Bytes that it takes in the store, its footer included.
  package var storedBytes: ByteCount

  package init(chunk: ChunkID, group: GroupID, length: Int, root: Digest, storedBytes: ByteCount) {
    self.chunk = chunk
    self.group = group
    self.length = length
    self.root = root
    self.storedBytes = storedBytes
  }
}

/// What a writer announces before its first byte.
package struct ChunkPlan: Hashable, Sendable {
  package var chunk: ChunkID
  package var group: GroupID
  /// No more bytes may follow; space for them is claimed at once.
  package var largestLength: Int
  /// The exact length when the sender knows it.
  package var length: Int?

  package init(chunk: ChunkID, group: GroupID, largestLength: Int, length: Int? = nil) {
    self.chunk = chunk
    self.group = group
    self.largestLength = largestLength
    self.length = length
  }
}

/// A chunk's id and its group: what it takes to find it.
package struct ChunkPlace: Hashable, Sendable {
  package var chunk: ChunkID
  package var group: GroupID

  package init(chunk: ChunkID, group: GroupID) {
    self.chunk = chunk
    self.group = group
  }
}

/// One page of a group's inventory, in order of chunk id.
package struct ChunkPage: Hashable, Sendable {
  package var chunks: [ChunkDescription]
  /// More chunks follow `last`; this page may be empty all the same.
  package var more: Bool
  /// Chunks of this page's part that proved damaged: they were moved aside and left out.
  package var damaged: [ChunkID]
  /// Chunks of this page's part whose files are gone though nobody removed them here: left out, too.
  package var vanished: [ChunkID] = []
  /// The last chunk that was looked at, listed or not: the next page comes after it. `nil` when there was none.
  package var last: ChunkID?

  package init(chunks: [ChunkDescription], more: Bool, damaged: [ChunkID] = []) {
    self.chunks = chunks
    self.more = more
    self.damaged = damaged
  }
}

/// What a deletion removed; a chunk that was not there counts for nothing.
package struct DeletedChunks: Hashable, Sendable {
  package var count = 0
  package var bytes = ByteCount.zero
  package init() {}
}

package struct StoreSpace: Hashable, Sendable {
  /// Size of the file system.
  package var capacity: ByteCount
  /// What this process could still write, the reserve included.
  package var free: ByteCount
  /// Kept free so that deletes, compaction and bookkeeping work on a full disk.
  package var reserve: ByteCount
  /// Promised to writers that have not finished.
  package var claimed: ByteCount
  /// Bytes of living chunks.
  package var chunks: ByteCount

  package init(
    capacity: ByteCount, free: ByteCount, reserve: ByteCount, claimed: ByteCount, chunks: ByteCount
  ) {
    self.capacity = capacity
    self.free = free
    self.reserve = reserve
    self.claimed = claimed
    self.chunks = chunks
  }

  /// What new chunks may take.
  package var available: ByteCount { max(.zero, free - reserve - claimed) }
}

package struct StoreCounts: Hashable, Sendable {
  package var chunks = 0
  package var quarantined = 0
  package init() {}
}

/// Whether the store still takes writes.
package enum StoreHealth: Sendable {
  case writable
  /// A sync or a write failed: what the kernel holds may never reach the disk. Reads and deletes go on,
  /// writes are refused until a person has looked and the process was started again.
  case failed(DFSError)
}

/// Chunks by group: the seam between a datanode and where its bytes are. Every implementation passes
/// `ChunkStoreConformance`.
///
/// Calls block on disk and may come from any thread: run them on blocking threads, never on an event loop. An
/// id is write-once: the same root again is the same success, another root is refused.
package protocol ChunkStore: Sendable {
  /// Claims space and starts a chunk. Throws `.exhausted` when it would eat into the reserve, `.unavailable`
  /// when the store takes no writes, `.invalidArgument` for a length out of range.
  func begin(_ plan: ChunkPlan) throws -> any ChunkWriter

  /// Opens a chunk for reading. Throws `.notFound`, or `.corrupt` when its footer is damaged. A reader goes
  /// on reading though the chunk is deleted meanwhile.
  func open(_ chunk: ChunkID, in group: GroupID) throws -> any ChunkReader

  /// What the store has under this id; `nil` when nothing. Throws `.corrupt` when its footer is damaged.
  func stat(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription?

  /// As `stat`, and what it answers is durable: a chunk can be seen a moment before its name is.
  func confirm(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription?

  /// The chunks of `group` after `chunk`, at most `limit` (at least 1). A chunk with a damaged footer is
  /// quarantined, left out, and named in the page. Costs by the page, not by the group.
  ///
  /// What is bad and could not be moved aside is left out, too, and `open`, `stat` and `confirm` throw `.corrupt`
  /// for it, until `verify` finds it sound.
  func list(_ group: GroupID, after chunk: ChunkID?, limit: Int) throws -> ChunkPage

  /// The groups of which the store has chunks, in order.
  func groups() throws -> [GroupID]

  /// Removes the chunks, their quarantined copies included; durable when it returns. Works on a full disk,
  /// inside the reserve.
  func delete(_ chunks: [ChunkID], in group: GroupID) throws -> DeletedChunks

  /// Moves a bad chunk aside: it is counted, no longer found, and its id may be written again. Nothing is
  /// done when it is not there.
  func quarantine(_ chunk: ChunkID, in group: GroupID) throws

  /// Verifies the chunk once more and moves it aside if it is bad; answers whether it did. While it looks nobody else
  /// decides about the id: a good copy that came in the place of a bad one is not taken for it.
  func quarantineUnlessSound(_ chunk: ChunkID, in group: GroupID) throws -> Bool

  /// Reads every byte from the medium and compares it with checksums, leaves and root; leaves nothing in the
  /// page cache. Throws `.corrupt`, also for what can not be read, and `.notFound`.
  func verify(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription

  var health: StoreHealth { get }
  func space() throws -> StoreSpace
  func counts() -> StoreCounts

  /// Gives dead space back to the disk when enough has gathered; otherwise returns at once.
  func compactIfNeeded() throws -> Compaction

  /// Releases everything. Unfinished writers are aborted; later calls throw `.unavailable`.
  func close()
}

package enum Compaction: Hashable, Sendable {
  case notNeeded
  case done(freed: ByteCount)
}

/// One chunk on its way into the store. Calls come one after another, from any thread. Dropping a writer
/// aborts it.
package protocol ChunkWriter: AnyObject, Sendable {
  /// Bytes appended so far.
  var length: Int { get }

  /// Appends whole blocks; only the chunk's last piece may end with a shorter one. Every block is checked
  /// against its CRC32C; `leaves` has 32 bytes for each and is kept without hashing. The payload is not used
  /// after the call.
  ///
  /// Throws `.corrupt` on a wrong checksum, `.invalidArgument` on a wrong shape, `.exhausted` on a full disk,
  /// `.unavailable` when the store stopped taking writes. After an error only `abort()` makes sense.
  func append(_ payload: UnsafeRawBufferPointer, checksums: [UInt32], leaves: UnsafeRawBufferPointer) throws

  /// Makes the chunk durable and visible, in this order; both are true when it returns. `root` must be the
  /// root over the appended leaves, or it throws `.invalidArgument`. Throws `.alreadyExists` when the id is
  /// taken by another root, `.outcomeUnknown` when a sync failed.
  func finish(length: Int, root: Digest) throws -> ChunkDescription

  /// Forgets the chunk and releases its space. Does nothing after `finish` or a second time.
  func abort()
}

/// Where a range of a chunk lies in a file, for `sendfile`. The descriptor is open as long as the reader
/// lives.
package struct ChunkFileRegion: Hashable, Sendable {
  package var descriptor: Int32
  package var offset: Int
  package var length: Int

  package init(descriptor: Int32, offset: Int, length: Int) {
    self.descriptor = descriptor
    self.offset = offset
    self.length = length
  }
}

/// An open chunk. Its calls are safe from several threads at once.
package protocol ChunkReader: AnyObject, Sendable {
  var description: ChunkDescription { get }

  /// CRC32C of each block.
  var checksums: [UInt32] { get }

  /// Merkle leaf of each block, 32 bytes each, in order. Equal to the root of `description` when the chunk
  /// was opened.
  var leaves: [UInt8] { get }

  /// Whether the chunk was read a moment ago, too: then it is worth its place in the page cache.
  var isReadAgain: Bool { get }

  /// Reads the blocks `blocks` into `buffer`, which has exactly their bytes, as the medium gives them: whoever gets
  /// them checks them. Where the file system has a way, they take no place in the page cache; the buffer begins at a
  /// page (4 KiB). Throws `.corrupt` when there are fewer, or the medium does not give them.
  func readUnchecked(_ blocks: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws

  /// Where these blocks lie in a file, when they do; nothing is read or checked. `nil` for a chunk that is no
  /// file of its own.
  func fileRegion(_ blocks: Range<Int>) -> ChunkFileRegion?

  /// Brings the blocks into the page cache, so that a following `sendfile` does not wait for the disk. Throws
  /// `.corrupt` when the disk does not give them back.
  func prefetch(_ blocks: Range<Int>) throws
}

extension ChunkReader {
  /// The same, and checks each block against its CRC32C. Throws `.corrupt`.
  package func read(_ blocks: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws {
    try readUnchecked(blocks, into: buffer)
    for (position, block) in blocks.enumerated() {
      let start = position * Block.size
      let piece = UnsafeRawBufferPointer(
        rebasing: UnsafeRawBufferPointer(buffer)[start..<min(start + Block.size, buffer.count)])
      guard CRC32C.checksum(piece) == checksums[block] else {
        throw DFSError(.corrupt, "chunk \(description.chunk) fails the checksum of block \(block)")
      }
    }
  }

  /// The bytes of the chunk that `blocks` covers.
  package func bytes(of blocks: Range<Int>) -> Range<Int> {
    let end = min(blocks.upperBound * Block.size, description.length)
    return min(blocks.lowerBound * Block.size, end)..<end
  }
}
