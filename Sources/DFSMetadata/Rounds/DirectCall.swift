package import DFSCore

/// A mutation that its caller executes itself, in a round of its own.
private final class DirectCall<M: Mutation>: WaitingMutation, @unchecked Sendable {
  private let mutation: M
  private let id: RequestID?
  // SAFETY: one thread makes the call, runs its round and takes its result.
  private(set) var result: Result<Settled<M.Outcome>, any Error>?

  init(_ mutation: M, id: RequestID?) {
    self.mutation = mutation
    self.id = id
  }

  func execute(in round: inout Round) throws {
    result = Result { try round.perform(mutation, id: id) }
    // The only operation of its round always fits, or is refused for good.
    if case .failure(let error) = result, error is Transaction.Full { throw error }
  }

  func answer(instead error: DFSError?) {
    if let error { result = .failure(error) }
  }
}

extension Namespace {
  /// As `mutate`, on the calling thread: durable when it returns. Only for a namespace that was opened with
  /// `.caller`, and from one thread at a time.
  @discardableResult
  package func mutateNow<M: Mutation>(_ mutation: M, id: RequestID? = nil) throws -> Settled<M.Outcome> {
    let call = DirectCall(mutation, id: id)
    runner.runNow(call)
    guard let result = call.result else { preconditionFailure("a round answers what it executed") }
    return try result.get()
  }
}
