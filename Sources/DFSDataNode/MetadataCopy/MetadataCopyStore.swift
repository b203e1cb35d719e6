import DFSChunkStore
import DFSCore
import Foundation

/// The copy of the coordinator's metadata that this node keeps for it: opaque pieces in files under `metadata/`.
///
/// Invariants: what `add` reports is durable; a checkpoint replaces the one before only when it is complete and
/// durable, together with the rounds that came while it was sent; rounds follow one another without a hole. The
/// copy belongs to the newest session: an older one is refused. Calls block on the disk, one at a time.
final class MetadataCopyStore: @unchecked Sendable {
  // SAFETY: every `var` is touched under `lock` only.

  /// A coordinator's right to write, until the next one begins.
  struct Session: Sendable {
    fileprivate var number: UInt64
    let header: CopyFileHeader
  }

  private let files: CopyFiles
  private let available: @Sendable () throws -> ByteCount
  private let lock = NSLock()
  /// Whether `copy` is what lies on the disk. Not before the first call, and not after one that failed.
  private var isLoaded = false
  private var copy: StoredCopy?
  private var lastGeneration: UInt64 = 0
  /// The log of the present session, once it has a round.
  private var log: CopyFileWriter?
  private var incoming: IncomingMetadata?
  private var session: UInt64 = 0
  /// After a failed sync nothing more is written: the disk may lie.
  private var failure: DFSError?

  /// Logs of one checkpoint; with more, a new checkpoint is due.
  static let mostLogs = 64

  /// `available` is what the node may write without touching its reserve. Nothing is read before the first call.
  init(
    directory: String, fileSystem: any FileSystem, available: @escaping @Sendable () throws -> ByteCount
  ) {
    files = CopyFiles(directory: directory + "/metadata", fileSystem: fileSystem)
    self.available = available
  }

  /// The complete copy, if there is one.
  func present() throws -> StoredCopy? {
    try lock.withLock {
      try load()
      return copy
    }
  }

  /// Opens the complete copy for reading; later writes do not change what is read. `nil` when there is none.
  func read() throws -> (copy: StoredCopy, reader: StoredCopyReader)? {
    try lock.withLock {
      try load()
      return try copy.map { ($0, try StoredCopyReader($0, files)) }
    }
  }

  /// Begins a session, which ends the one before. Gives the copy that the session may go on with: one of the same
  /// cluster and incarnation.
  func begin(_ header: CopyFileHeader) throws -> (session: Session, copy: StoredCopy?) {
    try lock.withLock {
      if let failure {
        throw DFSError(.unavailable, "the disk takes no copy of the metadata since it failed", cause: failure)
      }
      endSession()
      try load()
      let own = copy.flatMap { $0.belongs(to: header) && $0.logs.count < Self.mostLogs ? $0 : nil }
      return (Session(number: session, header: header), own)
    }
  }

  /// Writes frames and makes rounds and complete checkpoints durable; gives the complete copy as it is then. Throws
  /// `.stale` when a newer session has begun, `.exhausted` when the reserve would be touched, `.invalidArgument` for
  /// a frame that does not follow the one before. After an error the session is over.
  func add(_ frames: [CopyFrame], in session: Session) throws -> StoredCopy? {
    try lock.withLock {
      guard session.number == self.session else {
        throw DFSError(.stale, "a newer session of the coordinator writes the copy of the metadata")
      }
      do {
        try requireRoom(for: frames)
        for frame in frames { try take(frame, session.header) }
        try sync()
        return copy.flatMap { $0.belongs(to: session.header) ? $0 : nil }
      } catch {
        let error = DFSError(wrapping: error, "the copy of the metadata could not be written")
        if error.code == .outcomeUnknown { failure = error }
        endSession()
        // How much of it is on the disk is not known here: the next call looks.
        isLoaded = false
        throw error
      }
    }
  }
}

// Under the lock.
extension MetadataCopyStore {
  private func load() throws {
    guard !isLoaded else { return }
    try files.prepare()
    (copy, lastGeneration) = try files.find()
    files.removeOthers(than: copy)
    isLoaded = true
  }

  /// What came of an unfinished checkpoint gives its space back.
  private func endSession() {
    session += 1
    if let incoming { incoming.discard(from: files) }
    (incoming, log) = (nil, nil)
  }

  private func requireRoom(for frames: [CopyFrame]) throws {
    let bytes = frames.reduce(2 * CopyFileHeader.length) { $0 + $1.byteCount }
    let available = try available()
    guard available >= ByteCount(bytes) else {
      throw DFSError(
        .exhausted, "the disk is full up to its reserve: no room for a copy of the metadata (\(available) left)")
    }
  }

  private func take(_ frame: CopyFrame, _ header: CopyFileHeader) throws {
    switch frame.kind {
    case .checkpoint:
      if frame.number == 0 {
        if let incoming { incoming.discard(from: files) }
        log = nil
        lastGeneration += 1
        incoming = try IncomingMetadata(generation: lastGeneration, header, in: files)
      }
      guard incoming != nil else { throw Self.outOfOrder(frame) }
      try incoming?.take(piece: frame)
    case .round:
      if incoming != nil { try incoming?.take(round: frame, in: files) } else { try append(frame, header) }
    case .end:
      guard let complete = incoming else { throw Self.outOfOrder(frame) }
      (copy, log) = try complete.finish(with: frame, in: files)
      incoming = nil
      files.removeOthers(than: copy)
    }
  }

  private func append(_ frame: CopyFrame, _ header: CopyFileHeader) throws {
    guard var next = copy, next.belongs(to: header), frame.number == next.round + 1, frame.term >= next.term
    else { throw Self.outOfOrder(frame) }
    if log == nil {
      let number = (next.logs.last?.number ?? 0) + 1
      log = try CopyFileWriter(.log(generation: next.generation, number: number), header, in: files)
      next.logs.append(StoredCopy.Log(number: number, length: 0))
      next.epoch = header.epoch
    }
    try log?.append(frame)
    // Nobody sees it before it is synced: `add` holds the lock until then.
    (next.round, next.term) = (frame.number, frame.term)
    copy = next
  }

  private func sync() throws {
    try incoming?.flush()
    guard log?.hasNews == true else { return }
    try log?.sync(in: files)
    if let last = copy?.logs.indices.last, let log { copy?.logs[last].length = log.length }
  }

  static func outOfOrder(_ frame: CopyFrame) -> DFSError {
    DFSError(
      .invalidArgument,
      "the metadata's \(frame.kind) \(frame.number) does not follow what this node has: begin again")
  }
}

extension StoredCopy {
  /// Whether a session may add to it: it is of the same cluster and incarnation, and of no later coordinator.
  fileprivate func belongs(to session: CopyFileHeader) -> Bool {
    cluster == session.cluster && epoch.incarnation == session.epoch.incarnation && epoch <= session.epoch
  }
}
