import DFSCore
import Synchronization

/// Chunks that are files of their own: `chunks/<group>/<inode>.<index>`, hexadecimal and of fixed width, so
/// that the order of names is the order of ids.
///
/// A chunk is written to `incoming/`, synced, then moved to its name, which is never replaced.
final class ChunkFiles: Sendable {
  private struct Inventory: Sendable {
    /// Chunks by group.
    var counts: [GroupID: Int] = [:]
    var bytes = 0
    /// Groups whose directory exists for good.
    var groups: Set<GroupID> = []
    /// Names in `quarantine/`, by chunk.
    var quarantined: [ChunkID: [String]] = [:]
    var damaged: [ChunkPlace] = []
  }

  private let directory: String
  private let fileSystem: any FileSystem
  private let syncs: DirectorySyncs
  private let cache: OpenChunks
  private let listings = GroupListings()
  private let inventory = Mutex(Inventory())
  private let nextTemporary = Mutex(0)

  private var chunksPath: String { "\(directory)/chunks" }
  private var incomingPath: String { "\(directory)/incoming" }
  private var quarantinePath: String { "\(directory)/quarantine" }

  /// Makes the directories, removes what unfinished writers left, and counts what is there. Files too short for
  /// any chunk are moved aside: see `damaged`.
  init(in directory: String, fileSystem: any FileSystem, openFiles: Int) throws {
    self.directory = directory
    self.fileSystem = fileSystem
    syncs = DirectorySyncs(fileSystem)
    cache = OpenChunks(capacity: openFiles)
    for path in [chunksPath, incomingPath, quarantinePath] { try fileSystem.makeDirectory(path) }
    try fileSystem.syncDirectory(directory)
    for name in try fileSystem.entries(of: incomingPath) { try fileSystem.remove("\(incomingPath)/\(name)") }
    let found = try Self.takeStock(of: directory, fileSystem)
    inventory.withLock { $0 = found }
    for place in found.damaged { try quarantine(place.chunk, in: place.group) }
  }

  private static func takeStock(of directory: String, _ fileSystem: any FileSystem) throws -> Inventory {
    var found = Inventory()
    for name in try fileSystem.entries(of: "\(directory)/chunks") {
      guard let group = ChunkFileName.group(name) else { continue }
      let path = "\(directory)/chunks/\(name)"
      for chunk in try names(in: path, fileSystem) {
        let length = try fileSystem.length(of: "\(path)/\(ChunkFileName.name(chunk))") ?? 0
        found.counts[group, default: 0] += 1
        found.bytes += length
        if length < ChunkFooter.storedLength(of: 1) {
          found.damaged.append(ChunkPlace(chunk: chunk, group: group))
        }
      }
    }
    for name in try fileSystem.entries(of: "\(directory)/quarantine") {
      guard let chunk = ChunkFileName.quarantined(name)?.chunk else { continue }
      found.quarantined[chunk, default: []].append(name)
    }
    return found
  }

  /// What was found damaged, and moved aside, when the directory was opened.
  var damaged: [ChunkPlace] { inventory.withLock { $0.damaged } }

  /// Chunks of which a bad copy lies aside, and none in its place.
  func missing() throws -> Set<ChunkPlace> {
    let names = inventory.withLock { $0.quarantined.values.flatMap { $0 } }
    return try Set(names.compactMap { ChunkFileName.quarantined($0) }).filter {
      try !has($0.chunk, in: $0.group)
    }
  }

  /// Whether the chunk has a file, good or bad.
  func has(_ chunk: ChunkID, in group: GroupID) throws -> Bool {
    try fileSystem.length(of: path(chunk, group)) != nil
  }

  var count: Int { inventory.withLock { $0.counts.values.reduce(0, +) } }
  var bytes: Int { inventory.withLock { $0.bytes } }
  /// Files kept open for readers.
  var openCount: Int { cache.count }
  var quarantinedCount: Int { inventory.withLock { $0.quarantined.values.reduce(0) { $0 + $1.count } } }

  // MARK: Writing

  func createTemporary() throws -> (path: String, file: any OpenFile) {
    let number = nextTemporary.withLock { number in
      number += 1
      return number
    }
    let path = "\(incomingPath)/\(number)"
    return (path, try fileSystem.open(path, .create))
  }

  /// Leaves the name behind when it can not be removed: the next start does it.
  func removeTemporary(_ path: String) { try? fileSystem.remove(path) }

  /// Gives a synced temporary file its name; durable when it returns. Throws `.alreadyExists` when the name
  /// is taken.
  func publish(_ temporary: String, as footer: ChunkFooter) throws {
    try ensureDirectory(of: footer.group)
    try fileSystem.rename(temporary, to: path(footer.chunk, footer.group), .refused)
    inventory.withLock { inventory in
      inventory.counts[footer.group, default: 0] += 1
      inventory.bytes += ChunkFooter.storedLength(of: footer.length)
    }
    listings.note(footer.chunk, in: footer.group, isThere: true)
    try syncGroup(footer.group)
  }

  func syncGroup(_ group: GroupID) throws { try syncs.sync(path(group)) }

  private func ensureDirectory(of group: GroupID) throws {
    if inventory.withLock({ $0.groups.contains(group) }) { return }
    try fileSystem.makeDirectory(path(group))
    try syncs.sync(chunksPath)
    _ = inventory.withLock { $0.groups.insert(group) }
  }

  // MARK: Reading

  /// Throws `.notFound`, or `.corrupt` when the footer is damaged or belongs to something else.
  func open(_ chunk: ChunkID, in group: GroupID) throws -> FileChunkReader {
    if let open = cache.chunk(chunk), open.footer.group == group {
      return FileChunkReader(open, isReadAgain: true)
    }
    let removals = cache.removals
    let open = try openAnew(chunk, in: group)
    cache.insert(open, ifStill: removals)
    return FileChunkReader(open, isReadAgain: false)
  }

  /// As `open`, but reads the footer from the disk in any case.
  func openAnew(_ chunk: ChunkID, in group: GroupID) throws -> OpenChunk {
    let file: any OpenFile
    do { file = try fileSystem.open(path(chunk, group), .read) } catch let error as DFSError
      where error.code == .notFound
    {
      // Removed by somebody else: what is kept open is in no directory, and nobody will find it after a start.
      cache.remove(chunk)
      throw error
    }
    return OpenChunk(file: file, footer: try readFooter(of: file, chunk, group))
  }

  /// Keeps nothing open: an inventory must not push out what readers use.
  func stat(_ chunk: ChunkID, in group: GroupID) throws -> ChunkDescription? {
    if let open = cache.chunk(chunk), open.footer.group == group { return open.footer.description }
    do { return try openAnew(chunk, in: group).footer.description } catch let error as DFSError
      where error.code == .notFound
    {
      return nil
    }
  }

  /// The first `limit` chunks of the group after `chunk`, in order, and whether they are the last.
  func chunks(
    in group: GroupID, after chunk: ChunkID?, limit: Int
  ) throws -> (chunks: [ChunkID], isLast: Bool) {
    try listings.page(of: group, after: chunk, limit: limit) { try Self.names(in: path(group), fileSystem) }
  }

  /// Takes a chunk without a file out of its group's listing; false when it was not in there, as after an ordinary
  /// removal. Counts and bytes are put right by the next start. The caller holds the chunk.
  func forgetVanished(_ chunk: ChunkID, in group: GroupID) -> Bool {
    listings.note(chunk, in: group, isThere: false)
  }

  private static func names(in directory: String, _ fileSystem: any FileSystem) throws -> [ChunkID] {
    do { return try fileSystem.entries(of: directory).compactMap { ChunkFileName.chunk($0) } } catch let error
      as DFSError where error.code == .notFound
    {
      return []
    }
  }

  /// Those that have chunks.
  func groups() -> [GroupID] { inventory.withLock { $0.counts.filter { $0.value > 0 }.map(\.key) } }

  private func readFooter(of file: any OpenFile, _ chunk: ChunkID, _ group: GroupID) throws -> ChunkFooter {
    let length = try file.length()
    // One read serves chunks of up to 14 MiB.
    var end = [UInt8](repeating: 0, count: min(length, 8 << 10))
    try readFully(file, &end, at: length - end.count)
    guard end.count >= ChunkFooter.tailLength else {
      throw DFSError(.corrupt, "\(path(chunk, group)) is cut short")
    }
    let footerLength = try end.withUnsafeBytes {
      try ChunkFooter.length(fromTail: UnsafeRawBufferPointer(rebasing: $0.suffix(ChunkFooter.tailLength)))
    }
    guard footerLength <= length else { throw DFSError(.corrupt, "\(path(chunk, group)) is cut short") }
    if footerLength > end.count {
      end = [UInt8](repeating: 0, count: footerLength)
      try readFully(file, &end, at: length - footerLength)
    }
    let footer = try end.withUnsafeBytes {
      try ChunkFooter(decoding: UnsafeRawBufferPointer(rebasing: $0.suffix(footerLength)))
    }
    guard footer.chunk == chunk, footer.group == group, footer.length + footerLength == length else {
      throw DFSError(
        .corrupt,
        "\(path(chunk, group)) holds chunk \(footer.chunk) of group \(footer.group), or a part of it")
    }
    return footer
  }

  private func readFully(_ file: any OpenFile, _ bytes: inout [UInt8], at offset: Int) throws {
    let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: offset) }
    guard count == bytes.count else {
      throw DFSError(.corrupt, "a chunk's file became shorter while it was read")
    }
  }

  // MARK: Removing

  /// Removes the chunk and its quarantined copies; durable after `syncGroup`. Answers the bytes freed, `nil`
  /// when it was not there.
  func remove(_ chunk: ChunkID, in group: GroupID) throws -> Int? {
    for name in inventory.withLock({ $0.quarantined[chunk] ?? [] }) {
      try removeIfThere("\(quarantinePath)/\(name)")
      inventory.withLock { $0.quarantined[chunk]?.removeAll { $0 == name } }
    }
    inventory.withLock { if $0.quarantined[chunk]?.isEmpty == true { $0.quarantined[chunk] = nil } }
    guard let length = try fileSystem.length(of: path(chunk, group)) else { return nil }
    try removeIfThere(path(chunk, group))
    cache.remove(chunk)
    forget(chunk, in: group, length)
    return length
  }

  /// Moves the chunk to `quarantine/`; durable when it returns. Nothing happens when it is not there.
  func quarantine(_ chunk: ChunkID, in group: GroupID) throws {
    guard let length = try fileSystem.length(of: path(chunk, group)) else { return }
    var number = 0
    while true {
      let name = ChunkFileName.quarantine(chunk, group, number)
      do {
        try fileSystem.rename(path(chunk, group), to: "\(quarantinePath)/\(name)", .refused)
        inventory.withLock { $0.quarantined[chunk, default: []].append(name) }
        break
      } catch let error as DFSError where error.code == .alreadyExists { number += 1 }
    }
    cache.remove(chunk)
    forget(chunk, in: group, length)
    try syncs.sync(quarantinePath)
    try syncs.sync(path(group))
  }

  func close() { cache.removeAll() }

  private func removeIfThere(_ path: String) throws {
    do { try fileSystem.remove(path) } catch let error as DFSError where error.code == .notFound {}
  }

  private func forget(_ chunk: ChunkID, in group: GroupID, _ length: Int) {
    inventory.withLock { inventory in
      inventory.counts[group, default: 0] -= 1
      inventory.bytes -= length
    }
    listings.note(chunk, in: group, isThere: false)
  }

  private func path(_ group: GroupID) -> String { "\(chunksPath)/\(ChunkFileName.name(group))" }
  private func path(_ chunk: ChunkID, _ group: GroupID) -> String {
    "\(path(group))/\(ChunkFileName.name(chunk))"
  }
}
