package import DFSCore

/// What a scan's body wants next.
package enum ScanStep: Sendable {
  case goOn
  case stop
}

/// Keys from `start` up to, not including, `end`, in byte order; without an end, to the last key.
package struct KeyRange: Sendable, Hashable {
  package var start: [UInt8]
  package var end: [UInt8]?

  package init(from start: [UInt8], to end: [UInt8]?) {
    self.start = start
    self.end = end
  }

  /// Every key that begins with `prefix`.
  package init(prefix: [UInt8]) {
    start = prefix
    end = Self.successor(ofPrefix: prefix)
  }

  /// The smallest key that is greater than every key with this prefix; `nil` when there is none.
  package static func successor(ofPrefix prefix: [UInt8]) -> [UInt8]? {
    guard let last = prefix.lastIndex(where: { $0 != 0xFF }) else { return nil }
    return Array(prefix[..<last]) + [prefix[last] + 1]
  }
}

/// Where a snapshot reads from.
package enum ReadTier: Sendable {
  case memoryAndDisk
  /// Memory only, and no more than a few reads, so that an event loop may ask: what is not there, or goes beyond
  /// `memoryReads`, throws `NotInMemory`, and is asked for again on a thread that may block.
  case memory

  /// What one snapshot of `memory` answers, each record counting as one and as one more for every 256 bytes: enough
  /// for a path of some depth and the inode that it leads to, with what a small file has in it, and not for a manifest.
  package static let memoryReads = 32
}

/// What was asked for may be on disk, and the disk was not to be asked; or it was asked for too much.
package struct NotInMemory: Error {}

/// A view of the store that does not change. Calls block on disk, unless the view is of `ReadTier.memory`: never call
/// them on an event loop.
package protocol StoreReader: Sendable {
  /// Calls `body` with the value of `key` where the engine keeps it, without a copy; answers `nil`, and does
  /// not call it, when there is none. The buffer is valid during the call only. Throws `.corrupt` or
  /// `.unavailable`.
  func withValue<Result>(for key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) throws
    -> Result?

  /// Calls `body` with each key and value of `range` in ascending byte order until it answers `.stop`. The
  /// buffers are valid during the call only.
  func scan(
    _ range: KeyRange,
    _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> ScanStep
  ) throws
}

extension OrderedStore {
  package func snapshot() -> any StoreReader { snapshot(.memoryAndDisk) }
}

extension StoreReader {
  /// The value of `key`, or `nil`. Throws `.corrupt` or `.unavailable`.
  package func value(for key: [UInt8]) throws -> [UInt8]? { try withValue(for: key) { [UInt8]($0) } }
}

/// Changes that become visible together, or not at all. A later change of a key wins over an earlier one.
package struct WriteBatch: Sendable {
  package enum Change: Sendable, Hashable {
    case put(key: [UInt8], value: [UInt8])
    case delete(key: [UInt8])
    case deleteRange(KeyRange)
  }

  package private(set) var changes: [Change] = []
  package init() {}

  package var isEmpty: Bool { changes.isEmpty }
  package mutating func put(_ key: [UInt8], _ value: [UInt8]) { changes.append(.put(key: key, value: value)) }
  package mutating func delete(_ key: [UInt8]) { changes.append(.delete(key: key)) }
  /// `range` must have an end: RocksDB deletes no open range.
  package mutating func deleteRange(_ range: KeyRange) {
    precondition(range.end != nil, "an open range can not be deleted")
    changes.append(.deleteRange(range))
  }
}

package enum Durability: Sendable {
  /// On disk when the call returns.
  case synced
  /// On disk with the next synced batch, in order: never without the batches before it.
  case buffered
}

/// An ordered map from bytes to bytes with atomic batches and snapshots: RocksDB, or memory in tests. Both
/// pass the same conformance suite. Calls block; they may come from any thread.
package protocol OrderedStore: StoreReader {
  /// Applies `batch` atomically. Throws `.exhausted` on a full disk, when nothing was applied;
  /// `.outcomeUnknown` when a sync failed, after which the store refuses every write until it is opened
  /// again.
  func apply(_ batch: WriteBatch, durability: Durability) throws

  /// The present state, unchanged by later batches for as long as the value lives.
  func snapshot(_ tier: ReadTier) -> any StoreReader

  /// Writes a complete, consistent copy into `directory`, which must not exist.
  func checkpoint(into directory: String) throws

  /// Makes the space of deleted and replaced values in `range` free on disk. Takes as long as rewriting what
  /// is left.
  func compact(_ range: KeyRange) throws

  /// The bytes that the store takes on disk, garbage included.
  func usedSpace() throws -> ByteCount

  /// Releases the store's files and memory. Snapshots must be gone; later calls throw `.unavailable`.
  func close()
}
