import DFSCore
import DequeModule
import NIOConcurrencyHelpers
import NIOCore

/// The messages of one call that have arrived and were not taken yet. The loop puts them in; one task at a
/// time takes them out, on any thread.
///
/// What was taken is reported in bytes to `consumed`, which gives the peer credit for as many: a reader
/// that stops stops its sender. Small amounts are reported together, at the latest when the reader has to
/// wait.
final class CallInbox: Sendable {
  struct Message: Sendable {
    var bytes: ByteBuffer
    /// What it took on the wire.
    var size: Int
    var isCompressed: Bool
  }

  private struct Waiter {
    var id: UInt64
    var continuation: UnsafeContinuation<Message?, any Error>
  }

  private struct State {
    var messages: Deque<Message> = []
    /// The peer sends no more; what is here is still handed out, and then the error thrown, if there is one.
    var isFinished = false
    var error: DFSError?
    var waiter: Waiter?
    var lastWait: UInt64 = 0
    var cancelledWait: UInt64 = 0
    /// Taken and not reported yet.
    var unreported = 0
  }

  private enum Outcome {
    case message(Message)
    case finished
    case failed(DFSError)
    case empty
  }

  private static let reportStep = 64 << 10

  private let state = NIOLockedValueBox(State())
  private let consumed: @Sendable (Int) -> Void

  init(consumed: @escaping @Sendable (Int) -> Void) { self.consumed = consumed }

  /// Whether a reader waits for the next message.
  var isStarving: Bool { state.withLockedValue { $0.waiter != nil } }

  func put(_ message: Message) {
    let waiter: Waiter? = state.withLockedValue { state in
      guard !state.isFinished else { return nil }
      if let waiter = state.waiter {
        state.waiter = nil
        state.unreported += message.size
        return waiter
      }
      state.messages.append(message)
      return nil
    }
    guard let waiter else { return }
    report(atLeast: Self.reportStep)
    waiter.continuation.resume(returning: message)
  }

  /// The peer sends no more: readers get what is here, and then `error`, or the end. Only the first end
  /// counts.
  func finish(_ error: DFSError? = nil) { end(error, isDropping: false) }

  /// The call is over: readers throw `error` at once.
  func fail(_ error: DFSError) { end(error, isDropping: true) }

  private func end(_ error: DFSError?, isDropping: Bool) {
    let waiter: Waiter? = state.withLockedValue { state in
      if isDropping { state.messages.removeAll() }
      if !state.isFinished || isDropping { state.error = state.error ?? error }
      state.isFinished = true
      defer { state.waiter = nil }
      return state.waiter
    }
    guard let waiter else { return }
    waiter.continuation.resume(with: error.map { .failure($0) } ?? .success(nil))
  }

  /// The next message, or `nil` after the peer's last. Throws why the call ended, `.cancelled` when the
  /// reading task is.
  func next() async throws -> Message? {
    let (outcome, wait) = state.withLockedValue { state -> (Outcome, UInt64) in
      let outcome = Self.take(&state)
      if case .empty = outcome { state.lastWait += 1 }
      return (outcome, state.lastWait)
    }
    if case .empty = outcome {
      report(atLeast: 1)
      return try await withTaskCancellationHandler {
        try await withUnsafeThrowingContinuation { park(Waiter(id: wait, continuation: $0)) }
      } onCancel: {
        cancel(wait)
      }
    }
    report(atLeast: Self.reportStep)
    return try Self.result(of: outcome)
  }

  private static func take(_ state: inout State) -> Outcome {
    if let message = state.messages.popFirst() {
      state.unreported += message.size
      return .message(message)
    }
    guard state.isFinished else { return .empty }
    return state.error.map { .failed($0) } ?? .finished
  }

  private static func result(of outcome: Outcome) throws -> Message? {
    switch outcome {
    case .message(let message): return message
    case .finished, .empty: return nil
    case .failed(let error): throw error
    }
  }

  private func report(atLeast step: Int) {
    let count = state.withLockedValue { state in
      guard state.unreported >= step else { return 0 }
      defer { state.unreported = 0 }
      return state.unreported
    }
    if count > 0 { consumed(count) }
  }

  /// Looks again under the lock: what arrived since the first look must not be waited for.
  private func park(_ waiter: Waiter) {
    let outcome: Outcome = state.withLockedValue { state in
      let outcome = Self.take(&state)
      guard case .empty = outcome else { return outcome }
      if state.cancelledWait == waiter.id { return .failed(Self.cancellation) }
      precondition(state.waiter == nil, "one task at a time reads the messages of a call")
      state.waiter = waiter
      return .empty
    }
    if case .empty = outcome { return }
    waiter.continuation.resume(with: Result { try Self.result(of: outcome) })
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
    waiter?.continuation.resume(throwing: Self.cancellation)
  }

  private static let cancellation = DFSError(.cancelled, "the call was cancelled")
}
