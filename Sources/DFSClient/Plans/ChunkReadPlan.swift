import DFSCore

/// Decides whom to ask for one chunk, from which block on, and when to give up.
///
/// Verified bytes are kept: the next replica goes on where the last one stopped, and needs no leaves when
/// they are known. A chunk counts as lost only when every member of its freshly read group says so; nodes
/// that do not answer are asked again until `patience` has gone by without a verified block.
struct ChunkReadPlan: Sendable {
  typealias Instant = ContinuousClock.Instant

  struct Attempt: Sendable, Hashable {
    var node: NodeID
    /// Position in the chunk: the beginning of a block.
    var offset: Int
    var needsLeaves: Bool
  }

  enum Step: Sendable, Hashable {
    case ask(Attempt)
    /// Read the group's row again, then call `refreshed`.
    case refreshGroup(after: Duration)
  }

  /// What was wrong with one replica; told to the coordinator.
  enum Fault: Sendable, Hashable { case corrupt, missing, unreachable }

  let chunk: ChunkID
  let end: Int
  private let patience: Duration
  /// Everyone who should have the chunk, as last read.
  private var members: [NodeID]
  /// Whom to ask in this round.
  private var order: [NodeID]
  private var cursor = 0
  private var rounds = 0
  private var lastProgress: Instant
  private(set) var offset: Int
  private(set) var hasLeaves = false
  private(set) var faults: [NodeID: Fault] = [:]
  private var lastError: DFSError?

  /// Wants the blocks that hold `range` of the chunk, from the nodes of `order`, best first.
  init(chunk: ChunkID, range: Range<Int>, order: [NodeID], patience: Duration, now: Instant) {
    self.chunk = chunk
    self.order = order
    members = order
    self.patience = patience
    offset = range.lowerBound / Block.size * Block.size
    end = range.upperBound
    lastProgress = now
  }

  var isDone: Bool { offset >= end }

  /// Whom to ask now. Throws when no replica can help.
  mutating func nextStep(now: Instant) throws -> Step {
    if cursor < order.count {
      let node = order[cursor]
      return .ask(Attempt(node: node, offset: offset, needsLeaves: !hasLeaves))
    }
    if rounds > 0, let verdict = verdict(now: now) { throw verdict }
    let pause: Duration = rounds == 0 ? .zero : min(.seconds(2), .milliseconds(100) * (1 << min(rounds, 5)))
    return .refreshGroup(after: pause)
  }

  /// The replica to hedge with while `order[cursor]` is slow: the next one, if any.
  var alternative: Attempt? {
    guard cursor + 1 < order.count else { return nil }
    return Attempt(node: order[cursor + 1], offset: offset, needsLeaves: !hasLeaves)
  }

  private func verdict(now: Instant) -> DFSError? {
    let place = ["chunk": chunk.description]
    guard !members.isEmpty else {
      guard lastProgress.duration(to: now) >= patience else { return nil }
      return DFSError(.unavailable, "no datanode is known that holds chunk \(chunk)", metadata: place)
    }
    let kinds = members.compactMap { faults[$0] }
    if kinds.count == members.count {
      if kinds.allSatisfy({ $0 == .corrupt }) {
        return DFSError(.corrupt, "every copy of chunk \(chunk) fails its checksum", metadata: place)
      }
      if kinds.allSatisfy({ $0 != .unreachable }) {
        return DFSError(
          .corrupt, "no datanode has a good copy of chunk \(chunk): each is missing or fails its checksum",
          metadata: place)
      }
    }
    guard lastProgress.duration(to: now) >= patience else { return nil }
    return DFSError(
      .unavailable, "no reachable datanode has a good copy of chunk \(chunk)", metadata: place,
      cause: lastError)
  }

  mutating func gotLeaves() { hasLeaves = true }

  /// Blocks up to `offset` are verified and delivered.
  mutating func progressed(to offset: Int, now: Instant) {
    self.offset = max(self.offset, offset)
    lastProgress = now
    // Another round may find a node that is back; what it delivers renews its credit.
    rounds = 0
  }

  mutating func failed(_ node: NodeID, _ error: DFSError) {
    lastError = error
    faults[node] =
      switch error.code {
      case .corrupt: .corrupt
      case .notFound: .missing
      default: .unreachable
      }
    if cursor < order.count, order[cursor] == node {
      cursor += 1
    } else if let place = order.firstIndex(of: node), place > cursor {
      // The hedge failed before the first choice did: do not ask it again in this round.
      order.remove(at: place)
      order.insert(node, at: cursor)
      cursor += 1
    }
  }

  /// The members now, best first. Replicas found bad are not asked again; they count in the verdict.
  mutating func refreshed(order fresh: [NodeID]) {
    rounds += 1
    members = fresh
    order = fresh.filter { faults[$0] != .corrupt && faults[$0] != .missing }
    cursor = 0
  }
}
