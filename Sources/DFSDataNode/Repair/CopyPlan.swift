import DFSCore

/// Decides from which source the rest of one chunk comes, which sources are bad, and how it ends when none
/// has it.
///
/// Each source is asked once, in the order of the coordinator, and goes on where the one before stopped: what
/// was verified is kept. A source that is out of reach proves nothing about its replica.
struct CopyPlan {
  enum Fault: Hashable, Sendable { case corrupt, missing, unreachable }

  let chunk: ChunkID
  private let sources: [NodeID]
  private var next = 0
  private var faults: [(node: NodeID, fault: Fault)] = []
  private var lastError: DFSError?

  init(chunk: ChunkID, sources: [NodeID]) {
    self.chunk = chunk
    self.sources = sources
  }

  /// The place of the source to ask now in `sources`; throws why the chunk can not be had when all were asked.
  mutating func nextSource() throws -> Int {
    guard next < sources.count else { throw verdict }
    defer { next += 1 }
    return next
  }

  /// The source asked last did not deliver the rest.
  mutating func failed(_ error: DFSError) {
    precondition(next > 0, "a source was asked before it failed")
    let fault: Fault =
      switch error.code {
      case .corrupt: .corrupt
      case .notFound: .missing
      default: .unreachable
      }
    faults.append((sources[next - 1], fault))
    lastError = error
  }

  /// Sources whose replica is bad or missing.
  var badSources: [NodeID] { faults.filter { $0.fault != .unreachable }.map(\.node) }

  private var verdict: DFSError {
    let place = ["chunk": chunk.description]
    let kinds = Set(faults.map(\.fault))
    if sources.isEmpty {
      return DFSError(.invalidArgument, "the order names no source of chunk \(chunk)", metadata: place)
    }
    if kinds.contains(.unreachable) {
      return DFSError(
        .unavailable, "no reachable source has a good copy of chunk \(chunk)", metadata: place,
        cause: lastError)
    }
    return kinds.contains(.corrupt)
      ? DFSError(.corrupt, "every source of chunk \(chunk) is bad or lacks it", metadata: place)
      : DFSError(.notFound, "no source has chunk \(chunk)", metadata: place)
  }
}
