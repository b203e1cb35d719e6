import DFSCore
import DFSWire
import DequeModule
import NIOConcurrencyHelpers

/// One chunk on its way in: the frames that not every member has taken yet, and the tasks that wait for one
/// another. `TransferState` decides, this class waits.
///
/// Tasks: one reads from the sender (`accept`), one per member takes frames (`parts`), one tells the sender
/// (`news`). Each kind of waiting has one waiter at a time. Memory is bounded: `accept` returns when what
/// the slowest member still lacks is within the window, so the sender's credit stops with it.
final class Transfer: Sendable {
  /// A frame, or the end of the frames.
  enum Part: Sendable {
    case data(ChunkPiece)
    case finish(WireWriteChunkFinish)
  }

  enum News: Sendable {
    /// A cumulative acknowledgement, or a repeated one as a sign of life.
    case received(Int)
    case complete(receipts: [WireReceipt], failures: [WireReplicaFailure])
  }

  /// Who waits, and whom a change concerns: a small chunk is over in ten changes, and waking ten tasks for
  /// each of them would cost more than the chunk.
  private struct Roles: OptionSet, Sendable {
    let rawValue: UInt32
    /// The reader of the sender's frames, which waits for room.
    static let room = Roles(rawValue: 1)
    /// The teller.
    static let news = Roles(rawValue: 2)
    static let parts = Roles(rawValue: 4)
    static let departure = Roles(rawValue: 8)
    static let all = Roles(rawValue: .max)
  }

  private struct State {
    var decisions: TransferState
    /// Frames from number `firstPart` on.
    var parts: Deque<Part> = []
    var firstPart = 0
    /// Per member, the number of the next frame to take.
    var taken: [Int]
    var told = 0
    var owesSignOfLife = false
    var end: DFSError?
    /// Raised with every change, so that a waiter misses none between its look and its sleep.
    var version = 0
    var waiters: [(role: Roles, continuation: UnsafeContinuation<Void, Never>)] = []

    mutating func take(for member: Int) -> [Part] {
      let skip = taken[member] - firstPart
      guard skip < parts.count else { return [] }
      let taking = Array(parts.dropFirst(skip))
      taken[member] = firstPart + parts.count
      trim()
      return taking
    }

    /// Lets go of the frames that every member that takes part has taken.
    mutating func trim() {
      let needed = decisions.members.indices.filter { decisions.members[$0].outcome.isRunning }.map {
        taken[$0]
      }.min()
      let upTo = needed ?? firstPart + parts.count
      guard upTo > firstPart else { return }
      parts.removeFirst(upTo - firstPart)
      firstPart = upTo
    }
  }

  let chunk: ChunkID
  /// The most bytes that the slowest member may lack before the sender waits; changes with the load.
  private let window: @Sendable () -> Int
  private let clock: NodeClock
  private let state: NIOLockedValueBox<State>

  init(
    chunk: ChunkID, members: [NodeID], suspects: Set<NodeID> = [], patience: TransferState.Patience,
    clock: NodeClock, window: @escaping @Sendable () -> Int
  ) {
    self.chunk = chunk
    self.clock = clock
    self.window = window
    state = NIOLockedValueBox(
      State(
        decisions: TransferState(
          chunk: chunk, members: members, suspects: suspects, patience: patience, now: clock.now()),
        taken: Array(repeating: 0, count: members.count)))
  }

  // MARK: The sender's side

  /// Hands a frame to all members; returns when there is room for the next. Throws when the transfer ended.
  func accept(_ piece: ChunkPiece) async throws {
    let now = clock.now()
    let window = window()
    change(for: .parts) { state in
      guard state.end == nil else { return }
      state.decisions.receive(piece.payload.byteCount, at: now)
      state.parts.append(.data(piece))
      state.trim()
    }
    try await wait(as: .room) { state in
      let missing = state.decisions.received - state.decisions.acknowledged
      return missing == 0 || missing + ChunkPiece.largestPayload <= window ? () : nil
    }
  }

  /// Hands the end to all members.
  func finish(_ finish: WireWriteChunkFinish) {
    let now = clock.now()
    change(for: .parts) { state in
      guard state.end == nil else { return }
      state.decisions.finish(at: now)
      state.parts.append(.finish(finish))
      state.trim()
    }
  }

  /// The next thing to tell the sender. Throws why the transfer failed.
  func news() async throws -> News {
    try await wait(as: .news) { state in
      switch state.decisions.verdict {
      case .failed(let error): throw error
      case .complete(let receipts, let failures): return .complete(receipts: receipts, failures: failures)
      case .running: break
      }
      let count = state.decisions.acknowledged
      // Behind the end the sender waits for the result alone.
      guard count > state.told && !state.decisions.isFinished || state.owesSignOfLife else { return nil }
      state.told = count
      state.owesSignOfLife = false
      return .received(count)
    }
  }

  // MARK: A member's side

  /// The frames that `member` has not taken yet, perhaps none. Does not wait.
  func partsAtHand(for member: Int) -> [Part] {
    change(for: []) { state in
      guard state.end == nil, state.decisions.members[member].outcome.isRunning else { return [] }
      return state.take(for: member)
    }
  }

  /// All frames that `member` has not taken yet, at least one; `nil` when it takes part no longer.
  func parts(for member: Int) async -> [Part]? {
    try? await wait(as: .parts) { state -> [Part]? in
      guard state.decisions.members[member].outcome.isRunning else { throw DFSError(.cancelled, "dropped") }
      let parts = state.take(for: member)
      return parts.isEmpty ? nil : parts
    }
  }

  func progress(_ member: Int, to count: Int) {
    let now = clock.now()
    // Progress beyond what was sent ends the member.
    change(for: [.room, .news]) { $0.decisions.progress(member, to: count, at: now) }
  }

  func complete(_ member: Int, with receipt: WireReceipt) {
    change(for: .all) { $0.decisions.complete(member, with: receipt) }
  }

  func fail(_ member: Int, _ error: DFSError) {
    change(for: .all) { $0.decisions.fail(member, error) }
  }

  /// Returns when `member` takes part no longer, whatever the reason.
  func departure(of member: Int) async {
    try? await wait(as: .departure) { state in state.decisions.members[member].outcome.isRunning ? nil : () }
  }

  // MARK: From outside

  /// Ends the transfer for everyone. The first reason stays.
  func end(_ error: DFSError) {
    change(for: .all) { state in
      guard state.end == nil else { return }
      state.end = error
      state.parts.removeAll()
    }
  }

  /// Looks at the clock: drops stragglers, gives up on a sender that is gone, owes a sign of life to the one
  /// that waits. Returns the members dropped.
  func tick() -> [NodeID] {
    let now = clock.now()
    return change(for: .all) { state in
      guard state.end == nil else { return [] }
      let dropped = state.decisions.dropStragglers(at: now)
      if state.decisions.senderIsGone(at: now) {
        state.end = DFSError(
          .deadlineExceeded, "the sender of \(chunk) sent nothing for \(state.decisions.patience.sender)")
      }
      state.owesSignOfLife = true
      state.trim()
      return dropped.map { state.decisions.members[$0].node }
    }
  }

  // MARK: Waiting

  @discardableResult
  private func change<Result>(for roles: Roles, _ body: (inout State) -> Result) -> Result {
    var woken: [UnsafeContinuation<Void, Never>] = []
    let result = state.withLockedValue { state in
      let result = body(&state)
      state.version += 1
      state.waiters.removeAll { waiter in
        guard !waiter.role.isDisjoint(with: roles) else { return false }
        woken.append(waiter.continuation)
        return true
      }
      return result
    }
    for waiter in woken { waiter.resume() }
    return result
  }

  /// Returns when `ready` gives a value; looks again after each change. Throws what `ready` throws, and the
  /// reason once the transfer ended. Cancellation reaches it through `end`.
  private func wait<Value>(as role: Roles, _ ready: (inout State) throws -> Value?) async throws -> Value {
    while true {
      let (value, seen) = try state.withLockedValue { state in
        if let end = state.end { throw end }
        return (try ready(&state), state.version)
      }
      if let value { return value }
      await withUnsafeContinuation { continuation in
        let changed = state.withLockedValue { state in
          guard state.version == seen else { return true }
          state.waiters.append((role, continuation))
          return false
        }
        if changed { continuation.resume() }
      }
    }
  }
}
