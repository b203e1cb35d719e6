package import DFSCore
package import DFSKeyValue
import Synchronization

/// How a local store is opened.
package struct LocalChunkStoreOptions: Sendable {
  /// Chunks longer than this are files of their own. Chunks written under another limit stay where they are.
  package var smallChunkLimit = ByteCount.kib(256)
  /// Kept free; `nil` takes one percent of the disk, at least 512 MiB, but never more than a tenth.
  package var reserve: ByteCount?
  /// Descriptors and footers of chunk files kept open for readers.
  package var openFiles = 256
  /// Dead space of small chunks that is worth a compaction, when it is a quarter of what they take, too.
  package var compactionThreshold = ByteCount.mib(64)
  /// Opens the ordered store of the small chunks in a directory that is there, or to be made by it.
  package var smallChunks: @Sendable (_ path: String) throws -> any OrderedStore

  package init(smallChunks: @escaping @Sendable (_ path: String) throws -> any OrderedStore) {
    self.smallChunks = smallChunks
  }

  /// With RocksDB for the small chunks, at most about 48 MiB of memory beside the cache.
  package init(cache: RocksDBCache) {
    var options = RocksDBOptions(cache: cache)
    options.memtableSize = .mib(16)
    options.blobs = RocksDBOptions.Blobs()
    options.readChecks = .caller
    smallChunks = { [options] path in try RocksDBStore(path: path, options: options) }
  }

  /// As above, with a cache of its own of so many bytes.
  package init(cacheSize: ByteCount) { self.init(cache: RocksDBCache(capacity: cacheSize)) }
}

/// What opening a store found, for the log.
package struct OpenReport: Hashable, Sendable {
  /// Where the damaged store of small chunks was moved; its chunks must come from peers again.
  package var setAside: String?
  /// Why, or what is missing as a whole: then `DataDirectory.hasLostChunks` is set.
  package var reason: String?
  /// Chunk files that were cut short, and moved aside.
  package var damaged: [ChunkPlace] = []
  /// Chunks that were moved aside before, and of which no copy is in their place: whoever moved them may have stopped
  /// before it told.
  package var missing: [ChunkPlace] = []
  package init() {}
}

/// Chunks on the local disk: files for those over 256 KiB, RocksDB for the smaller ones.
///
/// Invariants: an id has at most one content; what `finish` reported is durable; nothing unfinished is
/// visible after a crash. After a failed sync or write the store takes no more writes (`health`); it goes on
/// reading and deleting.
package final class LocalChunkStore: ChunkStore {
  let files: ChunkFiles
  let small: SmallChunks
  let failure = StoreFailure()
  let claims = SpaceClaims()
  let pageBuffers = PageBuffers()
  private let exclusive = ExclusiveChunks()
  private let unmoved = UnmovedChunks()
  private let directory: DataDirectory
  let options: LocalChunkStoreOptions
  private let closed = Atomic<Bool>(false)
  package let openReport: OpenReport

  /// Opens the chunks of `directory`; what a crash left unfinished is removed. A damaged store of small
  /// chunks is moved aside and a fresh one started (see `openReport`): the files are served while peers send
  /// the rest again.
  package init(in directory: DataDirectory, options: LocalChunkStoreOptions) throws {
    self.directory = directory
    self.options = options
    let isUsed = directory.identity.cluster != nil
    let names = Set(try directory.fileSystem.entries(of: directory.path))
    var report = OpenReport()
    if isUsed, !names.contains("chunks") { report.reason = "the directory of chunk files is gone" }
    small = try Self.openSmallChunks(in: directory, options, &report)
    if isUsed, small.wasFresh, report.setAside == nil {
      report.reason = "the store of small chunks is gone"
    }
    // Durable before anything says that all is well.
    if report.reason != nil { try directory.noteLostChunks() }
    try small.mark(for: directory.identity.store)
    files = try ChunkFiles(in: directory.path, fileSystem: directory.fileSystem, openFiles: options.openFiles)
    report.damaged = files.damaged
    report.missing = try Self.missing(files, small).subtracting(report.damaged)
      .sorted { ($0.group, $0.chunk) < ($1.group, $1.chunk) }
    openReport = report
  }

  private static func missing(_ files: ChunkFiles, _ small: SmallChunks) throws -> Set<ChunkPlace> {
    let ofFiles = try files.missing().filter { try small.stat($0.chunk, in: $0.group) == nil }
    let ofSmall = try small.quarantinedAtOpening.filter {
      try small.stat($0.chunk, in: $0.group) == nil && !files.has($0.chunk, in: $0.group)
    }
    return ofFiles.union(ofSmall)
  }

  private static func openSmallChunks(
    in directory: DataDirectory, _ options: LocalChunkStoreOptions, _ report: inout OpenReport
  ) throws -> SmallChunks {
    let path = "\(directory.path)/small"
    let store = directory.identity.store
    do { return try SmallChunks(path: path, of: store, engine: options.smallChunks) } catch let error
      as DFSError
      where error.code == .corrupt
    {
      report.reason = error.description
    }
    // Before the evidence goes.
    try directory.noteLostChunks()
    var number = 1
    while true {
      let aside = "\(path).aside-\(number)"
      do {
        try directory.fileSystem.rename(path, to: aside, .refused)
        report.setAside = aside
        break
      } catch let error as DFSError where error.code == .alreadyExists { number += 1 }
    }
    try directory.fileSystem.syncDirectory(directory.path)
    return try SmallChunks(path: path, of: store, engine: options.smallChunks)
  }

  // MARK: Writing

  package func begin(_ plan: ChunkPlan) throws -> any ChunkWriter {
    try requireOpen()
    try failure.requireWritable()
    guard (1...ChunkSize.largest).contains(plan.largestLength),
      plan.length.map({ (1...plan.largestLength).contains($0) }) ?? true
    else { throw DFSError(.invalidArgument, "chunk \(plan.chunk) has an impossible length") }
    let length = plan.length ?? plan.largestLength
    // A small chunk is written twice: to RocksDB's log, then to its blob file.
    let stored = ChunkFooter.storedLength(of: length)
    let claim = ByteCount(length > options.smallChunkLimit.int ? stored : 2 * stored)
    let space = try directory.fileSystem.space(at: directory.path)
    try claims.claim(claim, free: space.free, reserve: reserve(of: space))
    return LocalChunkWriter(plan, claim: claim, store: self)
  }

  /// Publishes a small chunk: payload and footer.
  func publish(_ image: [UInt8], _ footer: ChunkFooter) throws -> ChunkDescription {
    try exclusive.with([footer.chunk]) {
      if let present = try present(like: footer) { return present }
      try failure.watching { try small.put(image, footer) }
      return footer.description
    }
  }

  /// Publishes a chunk file that is synced.
  func publish(temporary: String, _ footer: ChunkFooter) throws -> ChunkDescription {
    try exclusive.with([footer.chunk]) {
      if let present = try present(like: footer) {
        files.removeTemporary(temporary)
        return present
      }
      try failure.watching { try files.publish(temporary, as: footer) }
      return footer.description
    }
  }

  /// What is under the footer's id already, if it is the same content. A damaged copy is moved aside to make
  /// room. Throws `.alreadyExists` for other content.
  private func present(like footer: ChunkFooter) throws -> ChunkDescription? {
    let (chunk, group) = (footer.chunk, footer.group)
    let found: ChunkDescription?
    do { found = try find(chunk, in: group) } catch let error as DFSError where error.code == .corrupt {
      try failure.watching { try moveAside(chunk, in: group) }
      return nil
    }
    guard let found else { return nil }
    guard found.root == footer.root, found.length == footer.length else {
      throw DFSError(.alreadyExists, "chunk \(chunk) is there with another content; a chunk never changes")
    }
    // Its name may be so new that it is not durable yet.
    try settle(chunk, in: group)
    return found
  }

  // MARK: Reading

  package func open(_ chunk: ChunkID, in group: GroupID) throws -> any ChunkReader {
    try requireOpen()
    try unmoved.check(chunk, in: group)
    if let (payload, footer) = try small.load(chunk, in: group) { return SmallChunkReader(payload, footer) }
    do { return try files.open(chunk, in: group) } catch let error as DFSError
      where error.code == .notFound
    {
      throw DFSError(.notFound, "chunk \(chunk) of group \(group) is not here")
    }
  }

  package func stat(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription? {
    try requireOpen()
    return try find(chunk, in: group)
  }

  package func confirm(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription? {
    try requireOpen()
    return try exclusive.with([chunk]) {
      guard let found = try find(chunk, in: group) else { return nil }
      try settle(chunk, in: group)
      return found
    }
  }

  /// Makes the name of a chunk that is there durable.
  private func settle(_ chunk: ChunkID, in group: GroupID) throws {
    if try small.stat(chunk, in: group) == nil {
      try failure.watching { try files.syncGroup(group) }
    }
  }

  private func find(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription? {
    try unmoved.check(chunk, in: group)
    return try small.stat(chunk, in: group) ?? files.stat(chunk, in: group)
  }

  package func list(_ group: GroupID, after chunk: ChunkID?, limit: Int) throws -> ChunkPage {
    try requireOpen()
    let limit = max(1, limit)
    let ofSmall = try small.list(group, after: chunk, limit: limit + 1)
    let (names, isLast) = try files.chunks(in: group, after: chunk, limit: limit)
    var page = ChunkPage(chunks: [], more: !isLast || ofSmall.count + names.count > limit)
    // Only what belongs to the page is looked at: a file costs a visit to the disk.
    var (next, name) = (ofSmall.startIndex, names.startIndex)
    for _ in 0..<min(limit, ofSmall.count + names.count) {
      if next < ofSmall.endIndex, name == names.endIndex || ofSmall[next].chunk < names[name] {
        if !unmoved.contains(ofSmall[next].chunk, in: group) { page.chunks.append(ofSmall[next]) }
        page.last = ofSmall[next].chunk
        next += 1
        continue
      }
      try look(at: names[name], in: group, for: &page)
      page.last = names[name]
      name += 1
    }
    return page
  }

  /// Adds what became of the file's name to the page.
  private func look(at chunk: ChunkID, in group: GroupID, for page: inout ChunkPage) throws {
    guard !unmoved.contains(chunk, in: group) else { return }
    var found: ChunkDescription?
    do { found = try files.stat(chunk, in: group) } catch let error as DFSError where error.code == .corrupt {
      do {
        guard try !quarantineUnlessSound(chunk, in: group) else { return page.damaged.append(chunk) }
      } catch {
        guard unmoved.contains(chunk, in: group) else { throw error }
        return page.damaged.append(chunk)
      }
    }
    if let found { return page.chunks.append(found) }
    // Gone, or sound at the second look: nobody publishes or removes it while this is found out.
    try exclusive.with([chunk]) {
      if let found = try files.stat(chunk, in: group) { return page.chunks.append(found) }
      if files.forgetVanished(chunk, in: group) { page.vanished.append(chunk) }
    }
  }

  package func groups() throws -> [GroupID] {
    try requireOpen()
    return Set(files.groups()).union(try small.groups()).sorted()
  }

  package func verify(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription {
    try requireOpen()
    let found = try readAll(of: chunk, in: group)
    unmoved.remove(chunk, in: group)
    return found
  }

  private func readAll(of chunk: ChunkID, in group: GroupID) throws -> ChunkDescription {
    if let (payload, footer) = try small.load(chunk, in: group) {
      let reader = SmallChunkReader(payload, footer)
      try reader.verify()
      return reader.description
    }
    do {
      let open = try files.openAnew(chunk, in: group)
      // What lies in memory proves nothing about the disk; and what is read here, nobody is going to read.
      let whole = 0..<ChunkFooter.storedLength(of: open.footer.length)
      open.file.dropCached(whole)
      defer { open.file.dropCached(whole) }
      try FileChunkReader(open, isReadAgain: false).verify()
      return open.footer.description
    } catch let error as DFSError where error.code == .notFound {
      throw DFSError(.notFound, "chunk \(chunk) of group \(group) is not here")
    }
  }

  // MARK: Removing

  package func delete(_ chunks: [ChunkID], in group: GroupID) throws -> DeletedChunks {
    try requireOpen()
    return try exclusive.with(chunks) {
      // Files first: on a full disk that makes the room which the store of small chunks needs to forget one.
      let removed = try failure.watching { try chunks.compactMap { try files.remove($0, in: group) } }
      if !removed.isEmpty { try failure.watching { try files.syncGroup(group) } }
      var deleted = try failure.watching { try small.remove(chunks, in: group) }
      for chunk in chunks { unmoved.remove(chunk, in: group) }
      deleted.count += removed.count
      deleted.bytes = deleted.bytes + ByteCount(removed.reduce(0, +))
      return deleted
    }
  }

  package func quarantine(_ chunk: ChunkID, in group: GroupID) throws {
    try requireOpen()
    try exclusive.with([chunk]) { try failure.watching { try moveAside(chunk, in: group) } }
  }

  package func quarantineUnlessSound(_ chunk: ChunkID, in group: GroupID) throws -> Bool {
    try requireOpen()
    return try exclusive.with([chunk]) {
      do { _ = try verify(chunk, in: group) } catch let error as DFSError {
        switch error.code {
        case .corrupt: try failure.watching { try moveAside(chunk, in: group) }
        case .notFound:
          // Somebody has removed what could not be moved aside: there is room for a good one.
          unmoved.remove(chunk, in: group)
          return false
        default: throw error
        }
        return true
      }
      return false
    }
  }

  private func moveAside(_ chunk: ChunkID, in group: GroupID) throws {
    // Whatever becomes of the move, nobody takes it for a good one from here on.
    unmoved.insert(chunk, in: group)
    try small.quarantine(chunk, in: group)
    try files.quarantine(chunk, in: group)
    unmoved.remove(chunk, in: group)
  }

  // MARK: State

  package var health: StoreHealth { failure.health }

  package func space() throws -> StoreSpace {
    try requireOpen()
    let space = try directory.fileSystem.space(at: directory.path)
    return StoreSpace(
      capacity: space.capacity, free: space.free, reserve: reserve(of: space), claimed: claims.total,
      chunks: ByteCount(files.bytes + small.bytes))
  }

  package func counts() -> StoreCounts {
    var counts = StoreCounts()
    counts.chunks = files.count + small.count
    counts.quarantined = files.quarantinedCount + small.quarantinedCount
    return counts
  }

  package func compactIfNeeded() throws -> Compaction {
    try requireOpen()
    let dead = try small.deadBytes()
    guard dead >= options.compactionThreshold, dead.rawValue * 3 >= Int64(small.bytes) else {
      return .notNeeded
    }
    return .done(freed: try small.compact())
  }

  package func close() {
    guard !closed.exchange(true, ordering: .sequentiallyConsistent) else { return }
    files.close()
    small.close()
  }

  func requireOpen() throws {
    guard !closed.load(ordering: .sequentiallyConsistent) else {
      throw DFSError(.unavailable, "the chunk store in \(directory.path) is closed")
    }
  }

  private func reserve(of space: FileSystemSpace) -> ByteCount {
    if let reserve = options.reserve { return reserve }
    let capacity = space.capacity.rawValue
    return ByteCount(min(max(capacity / 100, ByteCount.mib(512).rawValue), capacity / 10))
  }
}
