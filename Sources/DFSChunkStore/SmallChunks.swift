import DFSCore
import DFSKeyValue
import Synchronization

/// Chunks of up to 256 KiB, as values of an ordered store, so that many of them share one sync.
///
///     c <group> <inode> <index>   payload and footer, as in a chunk file
///     i <group> <inode> <index>   version 1, length 4, root 32: the inventory, without touching the payload
///     q <group> <inode> <index>   a bad chunk, moved aside: whatever of it could be read
///     m                           version 1, store id 8: whose it is; without it nothing was ever stored here
///
/// Numbers in keys are big-endian, so that a group is a range.
final class SmallChunks: Sendable {
  typealias Engine = @Sendable (_ path: String) throws -> any OrderedStore

  private struct Inventory: Sendable {
    var count = 0
    var bytes = 0
    var quarantined = 0
  }

  private let path: String
  private let makeEngine: Engine
  private struct Current: Sendable {
    var store: any OrderedStore
    /// Raised whenever the store was opened anew.
    var generation = 0
  }

  private let current: Mutex<Current>
  private let inventory = Mutex(Inventory())
  /// Chunks that lay aside when the store was opened.
  let quarantinedAtOpening: [ChunkPlace]

  /// Whether the store held nothing, not even its mark, when it was opened.
  let wasFresh: Bool

  /// Throws `.corrupt` when the store is damaged or another directory's: set it aside and start a fresh one.
  init(path: String, of id: StoreID, engine makeEngine: @escaping Engine) throws {
    self.path = path
    self.makeEngine = makeEngine
    let store = try makeEngine(path)
    current = Mutex(Current(store: store))
    // Sizes lie in the inventory's own keys, so this reads about 60 bytes a chunk.
    var found = Inventory()
    try store.scan(KeyRange(prefix: [Kind.info.rawValue])) { key, value in
      if let entry = try? Self.decode(key, value) {
        found.count += 1
        found.bytes += entry.storedBytes.int
      }
      return .goOn
    }
    var quarantined: [ChunkPlace] = []
    try store.scan(KeyRange(prefix: [Kind.quarantined.rawValue])) { key, _ in
      found.quarantined += 1
      if let (group, chunk) = Self.chunk(fromKey: key) {
        quarantined.append(ChunkPlace(chunk: chunk, group: group))
      }
      return .goOn
    }
    quarantinedAtOpening = quarantined
    let owner = try store.withValue(for: Self.markKey) { try Self.owner(in: $0) }
    guard owner == nil || owner == id else {
      store.close()
      throw DFSError(.corrupt, "\(path) belongs to another data directory")
    }
    wasFresh = owner == nil && found.count == 0 && found.quarantined == 0
    inventory.withLock { $0 = found }
  }

  /// Says whose store this is, unless it says so already. A full disk leaves it to the next start.
  func mark(for id: StoreID) throws {
    guard try withValue(Self.markKey, { _ in }) == nil else { return }
    var writer = ByteWriter()
    writer.append(Self.markVersion)
    writer.append(id.rawValue)
    var batch = WriteBatch()
    batch.put(Self.markKey, writer.bytes)
    do { try apply(batch) } catch let error as DFSError where error.code == .exhausted {}
  }

  var count: Int { inventory.withLock { $0.count } }
  var bytes: Int { inventory.withLock { $0.bytes } }
  var quarantinedCount: Int { inventory.withLock { $0.quarantined } }

  /// Stores payload and footer; durable when it returns. The caller holds the chunk and has seen that it is
  /// not there.
  func put(_ image: [UInt8], _ footer: ChunkFooter) throws {
    var batch = WriteBatch()
    batch.put(Self.key(.chunk, footer.chunk, footer.group), image)
    batch.put(Self.key(.info, footer.chunk, footer.group), Self.encode(footer))
    try apply(batch)
    inventory.withLock { inventory in
      inventory.count += 1
      inventory.bytes += image.count
    }
  }

  func stat(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription? {
    let key = Self.key(.info, chunk, group)
    return try withValue(key) { value in try key.withUnsafeBytes { try Self.decode($0, value) } }
  }

  /// The payload, and the footer decoded; `nil` when there is no such chunk. Throws `.corrupt`.
  func load(_ chunk: ChunkID, in group: GroupID) throws -> (payload: [UInt8], footer: ChunkFooter)? {
    try withValue(Self.key(.chunk, chunk, group)) { image in
      guard image.count >= ChunkFooter.tailLength else {
        throw DFSError(.corrupt, "chunk \(chunk) is cut short")
      }
      let length = try ChunkFooter.length(
        fromTail: UnsafeRawBufferPointer(rebasing: image.suffix(ChunkFooter.tailLength)))
      guard length <= image.count else { throw DFSError(.corrupt, "chunk \(chunk) is cut short") }
      let footer = try ChunkFooter(decoding: UnsafeRawBufferPointer(rebasing: image.suffix(length)))
      guard footer.chunk == chunk, footer.group == group, footer.length + length == image.count else {
        throw DFSError(.corrupt, "the record of chunk \(chunk) holds chunk \(footer.chunk), or a part of it")
      }
      return (Array(image.prefix(footer.length)), footer)
    }
  }

  /// At most `limit` chunks of the group after `chunk`, in order.
  func list(_ group: GroupID, after chunk: ChunkID?, limit: Int) throws -> [ChunkDescription] {
    let prefix = [Kind.info.rawValue] + Self.bigEndian(group.rawValue)
    var range = KeyRange(prefix: prefix)
    if let chunk { range.start = Self.key(.info, chunk, group) + [0] }
    var found: [ChunkDescription] = []
    try withStore { store in
      try store.scan(range) { key, value in
        found.append(try Self.decode(key, value))
        return found.count < limit ? .goOn : .stop
      }
    }
    return found
  }

  /// Jumps from group to group, so the cost goes by groups, not by chunks.
  func groups() throws -> [GroupID] {
    var groups: [GroupID] = []
    var range = KeyRange(prefix: [Kind.info.rawValue])
    while true {
      var group: GroupID?
      try withStore { store in
        try store.scan(range) { key, _ in
          group = Self.chunk(fromKey: key)?.group
          return .stop
        }
      }
      guard let group else { return groups }
      groups.append(group)
      guard group.rawValue < UInt32.max else { return groups }
      range.start = [Kind.info.rawValue] + Self.bigEndian(group.rawValue + 1)
    }
  }

  /// Removes the chunks and their quarantined copies; durable when it returns. The caller holds them.
  func remove(_ chunks: [ChunkID], in group: GroupID) throws -> DeletedChunks {
    var deleted = DeletedChunks()
    var quarantined = 0
    var batch = WriteBatch()
    for chunk in chunks {
      let aside = Self.key(.quarantined, chunk, group)
      if try withValue(aside, { _ in }) != nil {
        quarantined += 1
        batch.delete(aside)
      }
      guard let description = try stat(chunk, in: group) else { continue }
      deleted.count += 1
      deleted.bytes = deleted.bytes + description.storedBytes
      batch.delete(Self.key(.chunk, chunk, group))
      batch.delete(Self.key(.info, chunk, group))
    }
    if !batch.isEmpty { try apply(batch) }
    inventory.withLock { inventory in
      inventory.count -= deleted.count
      inventory.bytes -= deleted.bytes.int
      inventory.quarantined -= quarantined
    }
    return deleted
  }

  /// Moves what can be read of the chunk aside; durable when it returns. The caller holds it.
  func quarantine(_ chunk: ChunkID, in group: GroupID) throws {
    guard let description = try stat(chunk, in: group) else { return }
    let key = Self.key(.chunk, chunk, group)
    let aside = Self.key(.quarantined, chunk, group)
    let known = try withValue(aside) { _ in } != nil
    // A rotten value must go: the next collection of blob files would stumble over it and stop all writes.
    let image = (try? withValue(key) { [UInt8]($0) }) ?? []
    var batch = WriteBatch()
    batch.put(aside, image)
    batch.delete(key)
    batch.delete(Self.key(.info, chunk, group))
    try apply(batch)
    inventory.withLock { inventory in
      inventory.count -= 1
      inventory.bytes -= description.storedBytes.int
      inventory.quarantined += known ? 0 : 1
    }
  }

  /// Bytes on disk that belong to no living chunk, by our own count: RocksDB's stays at zero until it
  /// compacts.
  func deadBytes() throws -> ByteCount { max(.zero, try withStore { try $0.usedSpace() } - ByteCount(bytes)) }

  /// Rewrites what lives. A damaged value makes it fail, and RocksDB refuse every write until it is opened
  /// again, which happens here, so that only the collection waits until a scrub has found the bad chunk.
  func compact() throws -> ByteCount {
    let generation = current.withLock { $0.generation }
    let before = try withStore { try $0.usedSpace() }
    do { try withStore { try $0.compact(KeyRange(from: [], to: nil)) } } catch {
      try reopen(after: generation)
      throw error
    }
    return max(.zero, before - (try withStore { try $0.usedSpace() }))
  }

  func close() { current.withLock { $0.store.close() } }

  /// Calls the store; once more when it was closed meanwhile because it is opened anew.
  private func withStore<Result>(_ body: (any OrderedStore) throws -> Result) throws -> Result {
    let used = current.withLock { $0 }
    do { return try body(used.store) } catch let error as DFSError where error.code == .unavailable {
      let now = current.withLock { $0 }
      guard now.generation != used.generation else { throw error }
      return try body(now.store)
    }
  }

  private func withValue<Result>(_ key: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) throws
    -> Result?
  {
    try withStore { try $0.withValue(for: key, body) }
  }

  /// Applies the batch, durable when it returns. RocksDB refuses every write after one of its own jobs met a
  /// rotten byte, until it is opened again. Nothing was written then, so the batch can be applied once more.
  private func apply(_ batch: WriteBatch) throws {
    let generation = current.withLock { $0.generation }
    do { try withStore { try $0.apply(batch, durability: .synced) } } catch let error as DFSError
      where error.code == .corrupt
    {
      try reopen(after: generation)
      do { try withStore { try $0.apply(batch, durability: .synced) } } catch let error as DFSError
        where error.code == .corrupt
      {
        // To the caller, "corrupt" would mean its own bytes.
        throw DFSError(.unavailable, "the store of small chunks takes no writes", cause: error)
      }
    }
  }

  /// Opens the store anew, unless somebody did since `generation`.
  private func reopen(after generation: Int) throws {
    try current.withLock { current in
      guard current.generation == generation else { return }
      current.store.close()
      current.store = try makeEngine(path)
      current.generation += 1
    }
  }
}

// MARK: Keys and inventory records

extension SmallChunks {
  private enum Kind: UInt8 {
    case chunk = 0x63
    case info = 0x69
    case quarantined = 0x71
  }

  private static let infoVersion: UInt8 = 1
  private static let markVersion: UInt8 = 1
  private static let markKey: [UInt8] = [0x6D]

  private static func owner(in value: UnsafeRawBufferPointer) throws -> StoreID {
    var reader = ByteReader(value)
    guard try reader.number(UInt8.self) == markVersion else {
      throw DFSError(.unimplemented, "the store of small chunks is of a newer version; use a newer dfsd")
    }
    return StoreID(rawValue: try reader.number())
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func key(_ kind: Kind, _ chunk: ChunkID, _ group: GroupID) -> [UInt8] {
    var key: [UInt8] = [kind.rawValue]
    key.reserveCapacity(17)
    withUnsafeBytes(of: group.rawValue.bigEndian) { key.append(contentsOf: $0) }
    withUnsafeBytes(of: chunk.inode.rawValue.bigEndian) { key.append(contentsOf: $0) }
    withUnsafeBytes(of: chunk.index.bigEndian) { key.append(contentsOf: $0) }
    return key
  }

  private static func chunk(fromKey key: UnsafeRawBufferPointer) -> (group: GroupID, chunk: ChunkID)? {
    guard key.count == 17 else { return nil }
    let group = UInt32(bigEndian: key.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
    let inode = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 5, as: UInt64.self))
    let index = UInt32(bigEndian: key.loadUnaligned(fromByteOffset: 13, as: UInt32.self))
    return (GroupID(rawValue: group), ChunkID(inode: InodeID(rawValue: inode), index: index))
  }

  private static func encode(_ footer: ChunkFooter) -> [UInt8] {
    var writer = ByteWriter()
    writer.append(infoVersion)
    writer.append(UInt32(footer.length))
    writer.append(footer.root)
    return writer.bytes
  }

  private static func decode(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws
    -> ChunkDescription
  {
    var reader = ByteReader(value)
    guard let (group, chunk) = chunk(fromKey: key), try reader.number(UInt8.self) == infoVersion else {
      throw DFSError(.corrupt, "the inventory of small chunks holds a record of another kind")
    }
    let length = Int(try reader.number(UInt32.self))
    let root = try reader.digest()
    return ChunkDescription(
      chunk: chunk, group: group, length: length, root: root,
      storedBytes: ByteCount(ChunkFooter.storedLength(of: length)))
  }
}
