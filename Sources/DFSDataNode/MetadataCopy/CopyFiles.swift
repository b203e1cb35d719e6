import DFSChunkStore
import DFSCore

/// A complete copy on disk: a checkpoint, and the rounds after it in one or more logs.
struct StoredCopy: Sendable {
  /// A log of rounds: one for each session of the coordinator, so that nothing is ever written behind a torn end.
  struct Log: Sendable {
    var number: UInt64
    /// What is intact and durable.
    var length: Int
  }

  /// Counts checkpoints; a higher one replaces a lower one.
  var generation: UInt64
  var cluster: ClusterID
  /// Of the coordinator that wrote last.
  var epoch: Epoch
  /// The last complete round.
  var round: UInt64
  var term: UInt64
  var checkpointLength: Int
  var logs: [Log] = []

  var logLength: Int { logs.reduce(0) { $0 + $1.length } }
}

/// The names of a copy's files, and how a start finds the copy among what a crash left.
struct CopyFiles: Sendable {
  let directory: String
  let fileSystem: any FileSystem

  enum Name: Hashable {
    case checkpoint(UInt64)
    case incoming(UInt64)
    case log(generation: UInt64, number: UInt64)

    init?(_ text: String) {
      let parts = text.split(separator: "-", omittingEmptySubsequences: false)
      switch (parts.first, parts.count) {
      case ("checkpoint", 2):
        if let number = UInt64(parts[1]) {
          self = .checkpoint(number)
        } else if parts[1].hasSuffix(".new"), let number = UInt64(parts[1].dropLast(4)) {
          self = .incoming(number)
        } else {
          return nil
        }
      case ("rounds", 3):
        guard let generation = UInt64(parts[1]), let number = UInt64(parts[2]) else { return nil }
        self = .log(generation: generation, number: number)
      default: return nil
      }
    }

    var text: String {
      switch self {
      case .checkpoint(let generation): "checkpoint-\(generation)"
      case .incoming(let generation): "checkpoint-\(generation).new"
      case .log(let generation, let number): "rounds-\(generation)-\(number)"
      }
    }

    var generation: UInt64 {
      switch self {
      case .checkpoint(let generation), .incoming(let generation), .log(let generation, _): generation
      }
    }
  }

  func path(_ name: Name) -> String { "\(directory)/\(name.text)" }

  func names() throws -> [Name] { try fileSystem.entries(of: directory).compactMap { Name($0) } }

  /// Makes the directory, and its name durable.
  func prepare() throws {
    try fileSystem.makeDirectory(directory)
    let parent = directory.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    try fileSystem.syncDirectory(parent.joined(separator: "/"))
  }

  func reader(_ name: Name, end: Int? = nil) throws -> CopyFileReader {
    try CopyFileReader(try fileSystem.open(path(name), .read), name: path(name), end: end)
  }

  /// The newest complete copy, and the highest generation that any name has. Reads the logs whole, and of a
  /// checkpoint its two ends: a damaged piece in between is found by whoever reads it. What it gives is durable.
  func find() throws -> (copy: StoredCopy?, lastGeneration: UInt64) {
    let names = try names()
    // What a killed process has written may be in the kernel's memory only.
    try fileSystem.syncDirectory(directory)
    let last = names.map(\.generation).max() ?? 0
    let complete = names.compactMap { name -> UInt64? in
      if case .checkpoint(let generation) = name { generation } else { nil }
    }
    for generation in complete.sorted(by: >) {
      do { return (try load(generation, among: names), last) } catch let error as DFSError
        where error.code == .corrupt
      { continue }
    }
    return (nil, last)
  }

  private func load(_ generation: UInt64, among names: [Name]) throws -> StoredCopy {
    let reader = try reader(.checkpoint(generation))
    let end = try reader.lastHead()
    guard end.kind == .end, end.length == 0 else {
      throw DFSError(.corrupt, "\(path(.checkpoint(generation))) has no end")
    }
    var copy = StoredCopy(
      generation: generation, cluster: reader.header.cluster, epoch: reader.header.epoch, round: end.number,
      term: end.term,
      checkpointLength: try fileSystem.length(of: path(.checkpoint(generation))) ?? 0)
    let logs = names.compactMap { name -> UInt64? in
      if case .log(generation, let number) = name { number } else { nil }
    }
    for number in logs.sorted() { try load(log: number, into: &copy) }
    return copy
  }

  /// Takes the rounds of a log that follow what the copy has, up to the first that is torn or does not follow.
  private func load(log number: UInt64, into copy: inout StoredCopy) throws {
    var log = StoredCopy.Log(number: number, length: 0)
    defer { copy.logs.append(log) }
    guard var reader = try? reader(.log(generation: copy.generation, number: number)),
      reader.header.cluster == copy.cluster, reader.header.epoch.incarnation == copy.epoch.incarnation
    else { return }
    log.length = reader.position
    while let frame = try? reader.next(), frame.kind == .round, frame.number == copy.round + 1,
      frame.term >= copy.term
    {
      (copy.round, copy.term) = (frame.number, frame.term)
      copy.epoch = max(copy.epoch, reader.header.epoch)
      log.length = reader.position
    }
    try reader.sync()
  }

  /// Removes every file that is not of the copy. What can not be removed now is removed another time.
  func removeOthers(than copy: StoredCopy?) {
    for name in (try? names()) ?? [] {
      switch name {
      case .incoming: break
      case .checkpoint(let generation), .log(let generation, _):
        // A damaged one is kept as long as there is nothing better.
        guard let copy, generation != copy.generation else { continue }
      }
      try? fileSystem.remove(path(name))
    }
  }
}
