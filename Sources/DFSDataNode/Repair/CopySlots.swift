import DequeModule
import NIOConcurrencyHelpers

/// Lets so many copies run at once on this node; the others wait in the order of their arrival.
final class CopySlots: Sendable {
  private struct State {
    var free: Int
    var nextTicket: UInt64 = 0
    var waiting: Deque<(ticket: UInt64, turn: UnsafeContinuation<Bool, Never>)> = []
    /// Given up before they began to wait.
    var givenUp: Set<UInt64> = []
  }

  private let state: NIOLockedValueBox<State>

  init(_ count: Int) { state = NIOLockedValueBox(State(free: max(1, count))) }

  /// Runs `body` when it is its turn. Throws `CancellationError` while it waits.
  func run<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    try await take()
    defer { give() }
    return try await body()
  }

  private func take() async throws {
    try Task.checkCancellation()
    let ticket = state.withLockedValue { state in
      state.nextTicket += 1
      return state.nextTicket
    }
    let isMine = await withTaskCancellationHandler {
      await withUnsafeContinuation { continuation in
        let answer: Bool? = state.withLockedValue { state in
          if state.givenUp.remove(ticket) != nil { return false }
          guard state.free == 0 else {
            state.free -= 1
            return true
          }
          state.waiting.append((ticket, continuation))
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      let turn = state.withLockedValue { state -> UnsafeContinuation<Bool, Never>? in
        guard let place = state.waiting.firstIndex(where: { $0.ticket == ticket }) else {
          state.givenUp.insert(ticket)
          return nil
        }
        return state.waiting.remove(at: place).turn
      }
      turn?.resume(returning: false)
    }
    _ = state.withLockedValue { $0.givenUp.remove(ticket) }
    guard isMine else { throw CancellationError() }
  }

  private func give() {
    let next = state.withLockedValue { state -> UnsafeContinuation<Bool, Never>? in
      if let next = state.waiting.popFirst() { return next.turn }
      state.free += 1
      return nil
    }
    next?.resume(returning: true)
  }
}
