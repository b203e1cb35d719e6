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
    var waiters: [UnsafeContinuation<Void, Never>] = []

    /// Lets go of the frames that every member that takes part has taken.
    mutating func trim() {
      let needed = decisions.members.indices.filter { decisions.members[$0].outcome.isRunning }.map { taken[$0] }.min()
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
    change { state in
      guard state.end == nil else { return }
      state.decisions.receive(piece.payload.byteCount, at: now)
      state.parts.append(.data(piece))
      state.trim()
    }
    try await wait { state in
      let missing = state.decisions.received - state.decisions.acknowledged
      return missing == 0 || missing + ChunkPiece.largestPayload <= window ? () : nil
    }
  }

  /// Hands the end to all members.
  func finish(_ finish: WireWriteChunkFinish) {
    let now = clock.now()
    change { state in
      guard state.end == nil else { return }
      state.decisions.finish(at: now)
      state.parts.append(.finish(finish))
      state.trim()
    }
  }

  /// The next thing to tell the sender. Throws why the transfer failed.
  func news() async throws -> News {
    try await wait { state in
      switch state.decisions.verdict {
      case .failed(let error): throw error
      case .complete(let receipts, let failures): return .complete(receipts: receipts, failures: failures)
      case .running: break
      }
      let count = state.decisions.acknowledged
      guard count > state.told || state.owesSignOfLife else { return nil }
      state.told = count
      state.owesSignOfLife = false
      return .received(count)
    }
  }

  // MARK: A member's side

  /// All frames that `member` has not taken yet, at least one; `nil` when it takes part no longer.
  func parts(for member: Int) async -> [Part]? {
    try? await wait { state in
      guard state.decisions.members[member].outcome.isRunning else { throw DFSError(.cancelled, "dropped") }
      let skip = state.taken[member] - state.firstPart
      guard skip < state.parts.count else { return nil }
      state.taken[member] = state.firstPart + state.parts.count
      defer { state.trim() }
      return Array(state.parts.dropFirst(skip))
    }
  }

  func progress(_ member: Int, to count: Int) {
    let now = clock.now()
    change { $0.decisions.progress(member, to: count, at: now) }
  }

  func complete(_ member: Int, with receipt: WireReceipt) {
    change { $0.decisions.complete(member, with: receipt) }
  }

  func fail(_ member: Int, _ error: DFSError) {
    change { $0.decisions.fail(member, error) }
  }

  /// Returns when `member` takes part no longer, whatever the reason.
  func departure(of member: Int) async {
    try? await wait { state in state.decisions.members[member].outcome.isRunning ? nil : () }
  }

  // MARK: From outside

  /// Ends the transfer for everyone. The first reason stays.
  func end(_ error: DFSError) {
    change { state in
      guard state.end == nil else { return }
      state.end = error
      state.parts.removeAll()
    }
  }

  /// Looks at the clock: drops stragglers, gives up on a sender that is gone, owes a sign of life to the one that
  /// waits. Returns the members dropped.
  func tick() -> [NodeID] {
    let now = clock.now()
    return change { state in
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
  private func change<Result>(_ body: (inout State) -> Result) -> Result {
    let (result, woken) = state.withLockedValue { state in
      let result = body(&state)
      state.version += 1
      let woken = state.waiters
      state.waiters.removeAll(keepingCapacity: true)
      return (result, woken)
    }
    for waiter in woken { waiter.resume() }
    return result
  }

  /// Returns when `ready` gives a value; looks again after each change. Throws what `ready` throws, and the
  /// reason once the transfer ended. Cancellation reaches it through `end`.
  private func wait<Value>(_ ready: (inout State) throws -> Value?) async throws -> Value {
    while true {
      let (value, seen) = try state.withLockedValue { state in
        if let end = state.end { throw end }
        return (try ready(&state), state.version)
      }
      if let value { return value }
      await withUnsafeContinuation { continuation in
        let changed = state.withLockedValue { state in
          guard state.version == seen else { return true }
          state.waiters.append(continuation)
          return false
        }
        if changed { continuation.resume() }
      }
    }
  }
}
