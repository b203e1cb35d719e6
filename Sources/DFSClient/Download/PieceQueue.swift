import DFSCore
import DequeModule
import NIOConcurrencyHelpers
import NIOCore

/// Pieces of content between the task that fetches and the one that takes, bounded in bytes.
///
/// One task puts, one task takes. Either side may end it: the putting side with `finish`, after which what is
/// queued is still taken; the taking side by being cancelled.
final class PieceQueue: Sendable {
  private struct State {
    var pieces: Deque<ByteBuffer> = []
    var bytes = 0
    var end: Result<Void, any Error>?
    var taker: CheckedContinuation<ByteBuffer?, any Error>?
    var putter: CheckedContinuation<Void, any Error>?
    var isCancelled = false
  }

  private let limit: Int
  private let state: NIOLockedValueBox<State>

  init(limit: Int) {
    self.limit = limit
    state = NIOLockedValueBox(State())
  }

  /// Waits while more than the limit is queued; one piece is always taken, whatever its size.
  func put(_ piece: ByteBuffer) async throws {
    guard piece.readableBytes > 0 else { return }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (putter: CheckedContinuation<Void, any Error>) in
        let (waiting, room): (CheckedContinuation<ByteBuffer?, any Error>?, Bool?) = state.withLockedValue {
          state in
          if state.isCancelled { return (nil, nil) }
          if let taker = state.taker {
            state.taker = nil
            return (taker, true)
          }
          state.pieces.append(piece)
          state.bytes += piece.readableBytes
          if state.bytes <= limit { return (nil, true) }
          state.putter = putter
          return (nil, false)
        }
        waiting?.resume(returning: piece)
        switch room {
        case true?: putter.resume()
        case false?: break
        case nil: putter.resume(throwing: CancellationError())
        }
      }
    } onCancel: {
      cancel()
    }
  }

  /// Nothing follows; with an error when the content is incomplete.
  func finish(_ end: Result<Void, any Error> = .success(())) {
    let taker = state.withLockedValue { state in
      if state.end == nil { state.end = end }
      defer { state.taker = nil }
      return state.taker
    }
    switch end {
    case .success: taker?.resume(returning: nil)
    case .failure(let error): taker?.resume(throwing: error)
    }
  }

  /// The next piece; nothing at the end.
  func next() async throws -> ByteBuffer? {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (taker: CheckedContinuation<ByteBuffer?, any Error>) in
        let (answer, waiting): (Result<ByteBuffer?, any Error>?, CheckedContinuation<Void, any Error>?) =
          state.withLockedValue { state in
            if state.isCancelled { return (.failure(CancellationError()), nil) }
            if let piece = state.pieces.popFirst() {
              state.bytes -= piece.readableBytes
              guard state.bytes <= limit else { return (.success(piece), nil) }
              defer { state.putter = nil }
              return (.success(piece), state.putter)
            }
            if let end = state.end { return (end.map { nil }, nil) }
            state.taker = taker
            return (nil, nil)
          }
        waiting?.resume()
        if let answer { taker.resume(with: answer) }
      }
    } onCancel: {
      cancel()
    }
  }

  /// Ends both sides at once.
  func cancel() {
    let (taker, putter) = state.withLockedValue { state in
      state.isCancelled = true
      state.pieces.removeAll()
      state.bytes = 0
      defer {
        state.taker = nil
        state.putter = nil
      }
      return (state.taker, state.putter)
    }
    taker?.resume(throwing: CancellationError())
    putter?.resume(throwing: CancellationError())
  }
}
