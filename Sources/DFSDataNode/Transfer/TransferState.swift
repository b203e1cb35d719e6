import DFSCore
import DFSWire

/// What the node at the head of a transfer decides: who still takes part, how far every member is, what the
/// sender may be told, who is dropped, and how it ends.
///
/// Member 0 is this node's own store; a forwarded transfer has no other member. Invariants: no member is
/// ahead of what was received; the acknowledged count only grows; a member that ended stays ended.
/// W = ⌊R/2⌋ + 1 replicas make a transfer succeed, but it waits for all members within the bounds below.
struct TransferState {
  typealias Instant = ContinuousClock.Instant

  /// How long a member that owes something may take.
  struct Patience: Sendable, Hashable {
    /// Without any message, while enough others remain.
    var silence: Duration = .milliseconds(2500)
    /// The same for a member that was dropped from another transfer a moment ago: a stopped process must not
    /// cost each chunk of a file the full time until the coordinator notices.
    var suspicion: Duration = .milliseconds(500)
    /// Without any message, when the transfer fails without it.
    var lastResort: Duration = .seconds(5)
    /// With messages, but without progress: a disk that hangs in a process that lives.
    var stuck: Duration = .seconds(15)
    /// How long the sender may send nothing while nobody keeps it waiting.
    var sender: Duration = .seconds(30)
    /// A longer time between two looks means that this process itself stood still: it counts for nobody.
    var ownPause: Duration = .seconds(1)
  }

  enum Outcome {
    case running
    case durable(WireReceipt)
    case failed(DFSError)

    var isRunning: Bool { if case .running = self { true } else { false } }
  }

  struct Member {
    let node: NodeID
    let isSuspect: Bool
    var received = 0
    /// Since when it owes progress; `nil` while it waits for the sender.
    var owingSince: Instant?
    var heard: Instant
    var outcome: Outcome = .running
  }

  /// How the transfer stands.
  enum Verdict {
    case running
    /// Every member ended, and enough of them well.
    case complete(receipts: [WireReceipt], failures: [WireReplicaFailure])
    /// W replicas are out of reach.
    case failed(DFSError)
  }

  let chunk: ChunkID
  let patience: Patience
  private(set) var members: [Member]
  /// Bytes that came from the sender.
  private(set) var received = 0
  private(set) var isFinished = false
  private var senderHeard: Instant
  private var lastLook: Instant

  init(
    chunk: ChunkID, members nodes: [NodeID], suspects: Set<NodeID> = [], patience: Patience, now: Instant
  ) {
    precondition(!nodes.isEmpty, "a transfer has a member: the node itself")
    self.chunk = chunk
    self.patience = patience
    members = nodes.map { Member(node: $0, isSuspect: suspects.contains($0), heard: now) }
    senderHeard = now
    lastLook = now
  }

  /// W: the replicas that a transfer to so many members needs.
  var needed: Int { members.count / 2 + 1 }

  /// Bytes that every member that takes part has received; everything, when none is left.
  var acknowledged: Int {
    members.lazy.filter(\.outcome.isRunning).map(\.received).min() ?? received
  }

  // MARK: What the sender does

  mutating func receive(_ count: Int, at now: Instant) {
    precondition(!isFinished, "nothing follows the finish of a transfer")
    received += count
    senderHeard = now
    owe(at: now)
  }

  mutating func finish(at now: Instant) {
    isFinished = true
    senderHeard = now
    owe(at: now)
  }

  private mutating func owe(at now: Instant) {
    for index in members.indices where members[index].owingSince == nil && members[index].outcome.isRunning {
      members[index].owingSince = now
    }
  }

  // MARK: What members do

  /// Member `index` has `count` bytes, or repeats a count to say that it is alive. A count that was never
  /// sent is a lie and ends the member.
  mutating func progress(_ index: Int, to count: Int, at now: Instant) {
    guard members[index].outcome.isRunning else { return }
    guard count <= received else {
      return fail(
        index,
        DFSError(
          .internal, "node \(members[index].node) acknowledged \(count) of \(received) bytes of \(chunk)"))
    }
    members[index].heard = now
    guard count > members[index].received else { return }
    members[index].received = count
    members[index].owingSince = count < received || isFinished ? now : nil
  }

  /// A receipt for a chunk whose end was not sent is a lie and ends the member.
  mutating func complete(_ index: Int, with receipt: WireReceipt) {
    guard members[index].outcome.isRunning else { return }
    guard isFinished else {
      return fail(
        index, DFSError(.internal, "node \(members[index].node) gave a receipt before the end of \(chunk)"))
    }
    members[index].received = received
    members[index].outcome = .durable(receipt)
  }

  mutating func fail(_ index: Int, _ error: DFSError) {
    guard members[index].outcome.isRunning else { return }
    members[index].outcome = .failed(error)
  }

  // MARK: What time does

  /// Drops the members whose patience is over and returns their indices. Those that nobody can replace get
  /// longer; when they are dropped too, the verdict turns to failed.
  ///
  /// Call it several times within `patience.ownPause`.
  mutating func dropStragglers(at now: Instant) -> [Int] {
    forgiveOwnPause(now)
    var dropped: [Int] = []
    for index in members.indices {
      guard let limit = limit(of: index), limit.deadline <= now else { continue }
      fail(index, DFSError(.unavailable, "node \(members[index].node) \(limit.why)"))
      dropped.append(index)
    }
    return dropped
  }

  private mutating func forgiveOwnPause(_ now: Instant) {
    let pause = lastLook.duration(to: now)
    lastLook = now
    guard pause > patience.ownPause else { return }
    senderHeard = senderHeard.advanced(by: pause)
    for index in members.indices {
      members[index].heard = members[index].heard.advanced(by: pause)
      members[index].owingSince = members[index].owingSince?.advanced(by: pause)
    }
  }

  /// The sender's patience is over: it owes bytes and sent none for too long.
  func senderIsGone(at now: Instant) -> Bool {
    !isFinished && acknowledged == received && senderHeard.advanced(by: patience.sender) <= now
  }

  private func limit(of index: Int) -> (deadline: Instant, why: String)? {
    let member = members[index]
    guard member.outcome.isRunning, let owing = member.owingSince else { return nil }
    let others = members.indices.filter { $0 != index && possible($0) }.count
    let least = member.isSuspect ? min(patience.suspicion, patience.silence) : patience.silence
    let silence = others >= needed ? least : patience.lastResort
    let silent = max(owing, member.heard).advanced(by: silence)
    let stuck = owing.advanced(by: patience.stuck)
    return silent < stuck
      ? (silent, "was silent for \(silence)") : (stuck, "made no progress for \(patience.stuck)")
  }

  private func possible(_ index: Int) -> Bool {
    if case .failed = members[index].outcome { false } else { true }
  }

  // MARK: How it ends

  var verdict: Verdict {
    let failures = members.compactMap { member -> (NodeID, DFSError)? in
      if case .failed(let error) = member.outcome { (member.node, error) } else { nil }
    }
    if members.count - failures.count < needed { return .failed(summary(of: failures)) }
    if members.contains(where: \.outcome.isRunning) { return .running }
    return .complete(
      receipts: members.compactMap { if case .durable(let receipt) = $0.outcome { receipt } else { nil } },
      failures: failures.map { node, error in
        WireReplicaFailure.with {
          $0.node = node.rawValue
          $0.reason = error.code.rawValue
          $0.message = String(error.description.prefix(512))
        }
      })
  }

  /// One error for several. A code that tells the sender to do something particular wins over "try
  /// elsewhere".
  private func summary(of failures: [(NodeID, DFSError)]) -> DFSError {
    let telling: [DFSError.Code] = [.corrupt, .invalidArgument, .alreadyExists, .stale, .exhausted]
    let codes = failures.map(\.1.code)
    let code = telling.first(where: codes.contains) ?? .unavailable
    guard members.count > 1 else {
      return failures.first?.1 ?? DFSError(code, "the transfer of \(chunk) failed")
    }
    let reasons = failures.map { "node \($0.0): \($0.1)" }.joined(separator: "; ")
    return DFSError(
      code, "chunk \(chunk) cannot get \(needed) replicas: \(reasons)",
      metadata: [
        "chunk": chunk.description, "failed_nodes": failures.map(\.0.description).joined(separator: ","),
      ])
  }
}
