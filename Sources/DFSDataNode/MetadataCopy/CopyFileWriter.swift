import DFSChunkStore
import DFSCore

/// Appends frames to a new file of a copy.
struct CopyFileWriter: Sendable {
  let name: CopyFiles.Name
  private let file: any OpenFile
  /// Not written yet.
  private var buffer: [UInt8]
  private var written = 0
  private(set) var hasNews = true
  /// Whether the file's own name is durable.
  private var isNamed = false

  private static let largestBuffer = 1 << 20

  init(_ name: CopyFiles.Name, _ header: CopyFileHeader, in files: CopyFiles) throws {
    // What a crash left of an earlier attempt.
    do { try files.fileSystem.remove(files.path(name)) } catch let error as DFSError
      where error.code == .notFound
    {}
    self.name = name
    file = try files.fileSystem.open(files.path(name), .create)
    buffer = header.bytes
  }

  var length: Int { written + buffer.count }

  mutating func append(_ frame: CopyFrame) throws {
    frame.append(to: &buffer)
    hasNews = true
    if buffer.count >= Self.largestBuffer { try flush() }
  }

  /// Gives what is buffered to the kernel, which begins to write it.
  mutating func flush() throws {
    guard !buffer.isEmpty else { return }
    try buffer.withUnsafeBytes { try file.write($0, at: written) }
    file.startWriteback(written..<length)
    (written, buffer) = (length, [])
  }

  /// Makes everything durable; the name too when `files` is given.
  mutating func sync(in files: CopyFiles?) throws {
    try flush()
    try file.sync()
    hasNews = false
    guard let files, !isNamed else { return }
    try files.fileSystem.syncDirectory(files.directory)
    isNamed = true
  }
}

/// A checkpoint that is being received, and the rounds that come meanwhile. Nothing of it counts before `finish`.
struct IncomingMetadata: Sendable {
  private let generation: UInt64
  private let header: CopyFileHeader
  private var checkpoint: CopyFileWriter
  private var pieces: UInt64 = 0
  private var log: CopyFileWriter?
  private var firstRound: CopyFrame?
  private var last: (round: UInt64, term: UInt64)?

  init(generation: UInt64, _ header: CopyFileHeader, in files: CopyFiles) throws {
    self.generation = generation
    self.header = header
    checkpoint = try CopyFileWriter(.incoming(generation), header, in: files)
  }

  mutating func take(piece: CopyFrame) throws {
    guard piece.number == pieces else { throw MetadataCopyStore.outOfOrder(piece) }
    pieces += 1
    try checkpoint.append(piece)
  }

  mutating func take(round: CopyFrame, in files: CopyFiles) throws {
    if let last {
      guard round.number == last.round + 1, round.term >= last.term else {
        throw MetadataCopyStore.outOfOrder(round)
      }
    } else {
      log = try CopyFileWriter(.log(generation: generation, number: 1), header, in: files)
      firstRound = CopyFrame(kind: .round, number: round.number, term: round.term, content: [])
    }
    last = (round.number, round.term)
    try log?.append(round)
  }

  mutating func flush() throws {
    try checkpoint.flush()
    try log?.flush()
  }

  /// Makes the checkpoint and its rounds the copy; durable when it returns. `log` goes on in the session.
  func finish(with end: CopyFrame, in files: CopyFiles) throws -> (copy: StoredCopy, log: CopyFileWriter?) {
    var (checkpoint, log) = (checkpoint, log)
    if let firstRound, firstRound.number != end.number + 1 || firstRound.term < end.term {
      throw MetadataCopyStore.outOfOrder(firstRound)
    }
    guard pieces > 0 else { throw MetadataCopyStore.outOfOrder(end) }
    try checkpoint.append(end)
    try checkpoint.sync(in: nil)
    try log?.sync(in: nil)
    // Only now, when its bytes are durable, may it carry the name of a complete one.
    try files.fileSystem.rename(
      files.path(checkpoint.name), to: files.path(.checkpoint(generation)), .allowed)
    try files.fileSystem.syncDirectory(files.directory)
    log?.noteNamed()
    let copy = StoredCopy(
      generation: generation, cluster: header.cluster, epoch: header.epoch, round: last?.round ?? end.number,
      term: last?.term ?? end.term, checkpointLength: checkpoint.length,
      logs: log.map { [StoredCopy.Log(number: 1, length: $0.length)] } ?? [])
    return (copy, log)
  }

  /// Removes what was received.
  func discard(from files: CopyFiles) {
    try? files.fileSystem.remove(files.path(checkpoint.name))
    if let log { try? files.fileSystem.remove(files.path(log.name)) }
  }
}

extension CopyFileWriter {
  /// The directory was synced by somebody else.
  mutating func noteNamed() { isNamed = true }
}

/// Reads a complete copy: the checkpoint's pieces, its end, then the rounds, each checked. The files stay open, so
/// that a newer copy does not take them away.
struct StoredCopyReader: Sendable {
  private var files: [CopyFileReader]

  init(_ copy: StoredCopy, _ files: CopyFiles) throws {
    let logs = copy.logs.filter { $0.length > CopyFileHeader.length }
    self.files =
      [try files.reader(.checkpoint(copy.generation), end: copy.checkpointLength)]
      + (try logs.map { log in
        try files.reader(.log(generation: copy.generation, number: log.number), end: log.length)
      })
  }

  /// The next frame; `nil` at the end. Throws `.corrupt`.
  mutating func next() throws -> CopyFrame? {
    while !files.isEmpty {
      if let frame = try files[0].next() { return frame }
      files.removeFirst()
    }
    return nil
  }
}
