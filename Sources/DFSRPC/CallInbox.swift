import DFSCore
import DequeModule
import NIOConcurrencyHelpers
import NIOCore

/// The messages of one call that have arrived and were not taken yet. The loop puts them in; one task at a
/// time takes them out, on any thread.
///
/// What was taken is reported in bytes to `consumed`, which gives the peer credit for as many: a reader that stops
/// stops its sender. What the peer sent before it ended is still handed out; after a failure nothing is.
final class CallInbox: Sendable {
  struct Message: Sendable {
    var bytes: ByteBuffer
    /// Bytes of credit the peer has not got back for this message yet.
    var owed: Int
  }

  private struct Waiter {
    var id: UInt64
    var continuation: UnsafeContinuation<ByteBuffer?, any Error>
  }

  private struct State {
    var messages: Deque<Message> = []
    var isFinished = false
    var failure: DFSError?
    var waiter: Waiter?
    var lastWait: UInt64 = 0
    var cancelledWait: UInt64 = 0
  }

  private let state = NIOLockedValueBox(State())
  private let consumed: @Sendable (Int) -> Void

  init(consumed: @escaping @Sendable (Int) -> Void) { self.consumed = consumed }

  /// Whether the reader keeps up: nothing waits to be taken.
  var isEmpty: Bool { state.withLockedValue { $0.messages.isEmpty } }

  func put(_ message: Message) {
    let waiter: Waiter? = state.withLockedValue { state in
      guard state.failure == nil, !state.isFinished else { return nil }
      if let waiter = state.waiter {
        state.waiter = nil
        return waiter
      }
      state.messages.append(message)
      return nil
    }
    guard let waiter else { return }
    waiter.continuation.resume(returning: message.bytes)
    if message.owed > 0 { consumed(message.owed) }
  }

  /// The peer will send no more.
  func finish() {
    let waiter: Waiter? = state.withLockedValue { state in
      state.isFinished = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.continuation.resume(returning: nil)
  }

  /// The call is over: readers throw `error`. A second failure, or one after everything was taken, changes nothing.
  func fail(_ error: DFSError) {
    let waiter: Waiter? = state.withLockedValue { state in
      guard state.failure == nil else { return nil }
      state.failure = error
      state.messages.removeAll()
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.continuation.resume(throwing: error)
  }

  /// The next message, or `nil` after the peer's last. Throws why the call ended, or `CancellationError`.
  func next() async throws -> ByteBuffer? {
    let (ready, wait) = state.withLockedValue { state -> (Outcome, UInt64) in
      let outcome = Self.take(&state)
      if case .empty = outcome { state.lastWait += 1 }
      return (outcome, state.lastWait)
    }
    if case .empty = ready {
      return try await withTaskCancellationHandler {
        try await withUnsafeThrowingContinuation { park(Waiter(id: wait, continuation: $0)) }
      } onCancel: {
        cancel(wait)
      }
    }
    return try deliver(ready)
  }

  private enum Outcome {
    case message(Message)
    case finished
    case failed(any Error)
    case empty
  }

  private static func take(_ state: inout State) -> Outcome {
    if let failure = state.failure { return .failed(failure) }
    if let message = state.messages.popFirst() { return .message(message) }
    return state.isFinished ? .finished : .empty
  }

  private func deliver(_ outcome: Outcome) throws -> ByteBuffer? {
    switch outcome {
    case .message(let message):
      if message.owed > 0 { consumed(message.owed) }
      return message.bytes
    case .finished, .empty: return nil
    case .failed(let error): throw error
    }
  }

  /// Looks again under the lock: what arrived since the first look must not be waited for.
  private func park(_ waiter: Waiter) {
    let outcome: Outcome = state.withLockedValue { state in
      let outcome = Self.take(&state)
      guard case .empty = outcome else { return outcome }
      if state.cancelledWait == waiter.id { return .failed(CancellationError()) }
      precondition(state.waiter == nil, "one task at a time reads the messages of a call")
      state.waiter = waiter
      return .empty
    }
    if case .empty = outcome { return }
    waiter.continuation.resume(with: Result { try deliver(outcome) })
  }

  private func cancel(_ wait: UInt64) {
    let waiter: Waiter? = state.withLockedValue { state in
      guard let waiter = state.waiter, waiter.id == wait else {
        state.cancelledWait = max(state.cancelledWait, wait)
        return nil
      }
      state.waiter = nil
      return waiter
    }
    waiter?.continuation.resume(throwing: CancellationError())
  }
}
