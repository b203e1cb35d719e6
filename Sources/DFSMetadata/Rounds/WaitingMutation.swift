import DFSCore

/// A mutation in the queue, without its type. Only the round's thread touches it once it is queued.
protocol WaitingMutation: AnyObject, Sendable {
  /// Executes it and keeps the answer for later. Throws `Transaction.Full` when it must wait for the next
  /// round.
  func execute(in round: inout Round) throws
  /// Gives the kept answer to its caller, or `error` instead.
  func answer(instead error: DFSError?)
}

final class WaitingCall<M: Mutation>: WaitingMutation, @unchecked Sendable {
  private let mutation: M
  private let id: RequestID?
  private let continuation: CheckedContinuation<Settled<M.Outcome>, any Error>
  // SAFETY: written by `execute` and read by `answer`, which the round's thread calls in this order; the
  // queue's lock orders both after `init`.
  private var result: Result<Settled<M.Outcome>, any Error>?

  init(_ mutation: M, id: RequestID?, continuation: CheckedContinuation<Settled<M.Outcome>, any Error>) {
    self.mutation = mutation
    self.id = id
    self.continuation = continuation
  }

  func execute(in round: inout Round) throws {
    do { result = .success(try round.perform(mutation, id: id)) } catch let full as Transaction.Full {
      throw full
    } catch {
      result = .failure(DFSError(wrapping: error, "\(M.kind) failed in a way nobody foresaw"))
    }
  }

  func answer(instead error: DFSError?) {
    if let error { return continuation.resume(throwing: error) }
    guard let result else { preconditionFailure("a mutation is executed before it is answered") }
    continuation.resume(with: result)
  }
}
