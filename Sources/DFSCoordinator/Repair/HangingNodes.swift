import DFSCore
import Synchronization

/// Nodes in contact that let a call run into its time limit: their disk hangs, or the way to them is dead. Each
/// call to one of them would hold up its group for as long again, so they get one call at a time, a while after
/// the last, until they answer; for the others they have not answered.
final class HangingNodes: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// When the next call may go to each of them.
  private let nextCall = Mutex<[NodeID: Instant]>([:])
  /// After a call that was not answered; and while one is under way, longer than any lasts.
  private static let pause = Duration.seconds(15)
  private static let longestCall = Duration.seconds(660)

  func mayAsk(_ node: NodeID, now: Instant) -> Bool {
    nextCall.withLock { nodes in nodes[node].map { now >= $0 } ?? true }
  }

  /// What `call` gives. Throws `.unavailable` without a call for a node that hangs and was asked lately. A call
  /// that throws `.deadlineExceeded` says that the node hangs; with any other answer it does not.
  func ask<Answer: Sendable>(
    _ node: NodeID, _ now: @Sendable () -> Instant, _ call: @Sendable () async throws -> Answer
  ) async throws -> Answer {
    try claim(node, now: now())
    do {
      let answer = try await call()
      nextCall.withLock { $0[node] = nil }
      return answer
    } catch {
      let isHanging = (error as? DFSError)?.code == .deadlineExceeded
      nextCall.withLock { $0[node] = isHanging ? now() + Self.pause : nil }
      throw error
    }
  }

  private func claim(_ node: NodeID, now: Instant) throws {
    try nextCall.withLock { nodes in
      guard let next = nodes[node] else { return }
      guard now >= next else {
        throw DFSError(.unavailable, "node \(node) has let a call run into its time limit; it is asked later")
      }
      nodes[node] = now + Self.longestCall
    }
  }
}

private final class Signs: Sendable {
  let count = Mutex(0)
}

/// Does `body`, which calls `sign` whenever it gets ahead. Throws `.deadlineExceeded`, and cancels it, when it
/// has not between two looks that are `patience` apart.
func watched<Answer: Sendable>(
  patience: Duration, _ clock: any Clock<Duration>, _ what: String,
  _ body: @escaping @Sendable (_ sign: @escaping @Sendable () -> Void) async throws -> Answer
) async throws -> Answer {
  let signs = Signs()
  return try await withThrowingTaskGroup(of: Answer.self) { tasks in
    tasks.addTask { try await body { signs.count.withLock { $0 += 1 } } }
    tasks.addTask {
      var seen: Int?
      while true {
        let count = signs.count.withLock { $0 }
        guard count != seen else {
          throw DFSError(.deadlineExceeded, "\(what) has not got ahead for \(patience)")
        }
        seen = count
        try await clock.sleep(for: patience)
      }
    }
    defer { tasks.cancelAll() }
    guard let answer = try await tasks.next() else { throw CancellationError() }
    return answer
  }
}
