import DFSCore
import DFSRPC
import TestSupport
import Testing

@testable import DFSClient

struct CoordinatorRetryTests {
  private let start = ContinuousClock.now

  /// The error that is told in the end, when every attempt answers with the next of `codes` (the last one
  /// again and again).
  private func end(
    _ kind: CoordinatorRetry.Kind, _ codes: [DFSError.Code], patience: Duration = .seconds(5)
  ) -> (DFSError, attempts: Int, after: Duration) {
    var retry = CoordinatorRetry(kind, started: start, patience: patience, shortage: patience)
    var now = start
    var attempts = 0
    while true {
      let code = codes[min(attempts, codes.count - 1)]
      attempts += 1
      switch retry.decide(after: DFSError(code, "\(code)"), now: now, chance: 0.5) {
      case .retry(let pause): now += pause
      case .fail(let error): return (error, attempts, start.duration(to: now))
      }
    }
  }

  @Test(arguments: [
    DFSError.Code.notFound, .alreadyExists, .failedPrecondition, .invalidArgument, .permissionDenied, .stale,
  ])
  func `a definite answer is passed on at once`(code: DFSError.Code) {
    let (error, attempts, _) = end(.mutation, [code])
    #expect(error.code == code && attempts == 1)
  }

  @Test func `a coordinator that is away is waited for until patience ends`() {
    let (error, attempts, after) = end(.read, [.unavailable])
    #expect(error.code == .unavailable && attempts > 4 && after < .seconds(5) && after > .seconds(2))
  }

  @Test func `a shortage of datanodes is waited out for a shorter time, which begins with the answer`() {
    var retry = CoordinatorRetry(.mutation, started: start, patience: .seconds(30), shortage: .seconds(10))
    let shortage = DFSError.tooFewNodes("too few")
    var now = start + .seconds(12)
    guard case .retry = retry.decide(after: DFSError(.unavailable, "away"), now: now, chance: 1) else {
      Issue.record("a coordinator that is away is waited for")
      return
    }
    let begin = now
    while case .retry(let pause) = retry.decide(after: shortage, now: now, chance: 1) { now += pause }
    #expect(begin.duration(to: now) > .seconds(7) && begin.duration(to: now) < .seconds(10))
    var hasty = CoordinatorRetry(.mutation, started: start, patience: .seconds(30), shortage: .zero)
    guard case .fail(let error) = hasty.decide(after: shortage, now: start, chance: 0) else {
      Issue.record("asked again although it was not to be")
      return
    }
    #expect(error.isTooFewNodes)
  }

  @Test func `an unknown outcome that is never settled is reported as unknown`() {
    #expect(end(.mutation, [.outcomeUnknown, .unavailable]).0.code == .outcomeUnknown)
    #expect(end(.mutation, [.deadlineExceeded, .unavailable]).0.code == .outcomeUnknown)
  }

  @Test func `a call that left and whose connection broke is reported as unknown when nothing settles it`() {
    var retry = CoordinatorRetry(.mutation, started: start, patience: .seconds(1), shortage: .seconds(1))
    let lost = DFSError(.unavailable, "the connection was lost", cause: MaybeProcessed())
    guard case .retry = retry.decide(after: lost, now: start, chance: 0) else {
      Issue.record("a lost connection is worth another attempt")
      return
    }
    let refused = DFSError(.unavailable, "connection refused")
    guard case .fail(let error) = retry.decide(after: refused, now: start + .seconds(2), chance: 0) else {
      Issue.record("patience does not end")
      return
    }
    #expect(error.code == .outcomeUnknown)
  }

  @Test func `what only prepares an upload is never unknown, and a shortage after a doubtful attempt is one`()
  {
    #expect(end(.preparation, [.outcomeUnknown]).0.code == .unavailable)
    #expect(end(.preparation, [.deadlineExceeded, .unavailable]).0.code == .unavailable)
    var retry = CoordinatorRetry(.preparation, started: start, patience: .seconds(30), shortage: .zero)
    guard case .retry = retry.decide(after: DFSError(.deadlineExceeded, "slow"), now: start, chance: 0) else {
      Issue.record("an attempt that timed out is worth another one")
      return
    }
    guard case .fail(let error) = retry.decide(after: .tooFewNodes("too few"), now: start, chance: 0) else {
      Issue.record("asked again although it was not to be")
      return
    }
    #expect(error.isTooFewNodes)
  }

  @Test func `an unknown outcome is settled by a definite answer to the same request`() {
    #expect(end(.mutation, [.outcomeUnknown, .failedPrecondition]).0.code == .failedPrecondition)
  }

  @Test func `what never reached the coordinator is unavailable, not unknown`() {
    #expect(end(.mutation, [.unavailable]).0.code == .unavailable)
  }

  @Test func `a full coordinator is asked a few times only`() {
    let (error, attempts, _) = end(.mutation, [.exhausted])
    #expect(error.code == .exhausted && attempts == 4)
  }

  @Test func `a request id begins with the highest revision seen`() {
    var ids = RequestIDs()
    var random = SeededGenerator(seed: 1)
    ids.saw(Revision(rawValue: 7), now: start)
    ids.saw(Revision(rawValue: 3), now: start)
    let first = ids.next(using: &random)
    let second = ids.next(using: &random)
    #expect(first.seen.rawValue == 7 && first != second)
  }
}
