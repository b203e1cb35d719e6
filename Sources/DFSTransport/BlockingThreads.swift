import DFSCore
import DequeModule
import Foundation

/// A fixed pool of threads for calls that block: disk, RocksDB, name resolution. Loops never block, so every
/// such call goes through one of these.
///
/// Work is started in order of arrival. The queue has a bound, beyond which `run` throws `.exhausted`: a disk
/// that answers no more must not collect callers without end. Cancelling the caller does not interrupt work
/// that has begun; work that has not begun is skipped.
package final class BlockingThreads: Sendable {
  private let pool: Pool

  /// Starts `count` threads, named `name` for `ps` and debuggers.
  package init(count: Int, name: String, queueLimit: Int = 100_000) {
    precondition(count > 0, "a pool needs a thread")
    pool = Pool(queueLimit: queueLimit)
    for number in 0..<count {
      let thread = Thread { [pool] in
        // A name that is given before the start is not seen from outside.
        Thread.current.name = "\(name)-\(number)"
        pool.work()
      }
      thread.stackSize = 1 << 20
      thread.start()
    }
  }

  deinit { pool.close() }

  /// Runs `body` on one of the threads and returns what it returns. Throws what `body` throws,
  /// `CancellationError` when the caller was cancelled before `body` began, `.exhausted` when the queue
  /// is full and `.unavailable` after `shutdown`.
  package func run<Success: Sendable>(_ body: @escaping @Sendable () throws -> Success) async throws
    -> Success
  {
    try Task.checkCancellation()
    let flag = CancellationFlag()
    // The flag's lock is taken after the work, here and there: the thread sanitizer does not see that resuming a
    // continuation orders the two, and would call everything that `body` made a race.
    defer { _ = flag.isRaised }
    return try await withTaskCancellationHandler {
      try await withUnsafeThrowingContinuation { continuation in
        let refusal = pool.submit {
          guard !flag.isRaised else { return continuation.resume(throwing: CancellationError()) }
          let result = Result { try body() }
          _ = flag.isRaised
          continuation.resume(with: result)
        }
        if let refusal { continuation.resume(throwing: refusal) }
      }
    } onCancel: {
      flag.raise()
    }
  }

  /// Lets the work that was accepted finish, then ends the threads; later calls of `run` throw.
  package func shutdown() { pool.close() }
}

private final class CancellationFlag: @unchecked Sendable {
  // SAFETY: `raised` is only touched under `lock`.
  private let lock = NSLock()
  private var raised = false
  var isRaised: Bool { lock.withLock { raised } }
  func raise() { lock.withLock { raised = true } }
}

private final class Pool: @unchecked Sendable {
  // SAFETY: every property below is read and written while `condition` is locked.
  private let condition = NSCondition()
  private var queue: Deque<@Sendable () -> Void> = []
  private var isClosed = false
  private var idle = 0
  private let queueLimit: Int

  init(queueLimit: Int) { self.queueLimit = queueLimit }

  func submit(_ work: @escaping @Sendable () -> Void) -> DFSError? {
    let (refusal, someoneSleeps) = condition.withLock { put(work) }
    // After the lock is free again: a thread that wakes up to a lock which is held goes back to sleep.
    if someoneSleeps { condition.signal() }
    return refusal
  }

  /// Under the lock.
  private func put(_ work: @escaping @Sendable () -> Void) -> (refusal: DFSError?, someoneSleeps: Bool) {
    guard !isClosed else { return (DFSError(.unavailable, "the process is stopping"), false) }
    guard queue.count < queueLimit else {
      return (DFSError(.exhausted, "\(queue.count) operations wait for the disk; try again later"), false)
    }
    queue.append(work)
    return (nil, idle > 0)
  }

  func close() {
    condition.lock()
    isClosed = true
    condition.broadcast()
    condition.unlock()
  }

  func work() {
    while let next = take() { next() }
  }

  private func take() -> (@Sendable () -> Void)? {
    condition.lock()
    defer { condition.unlock() }
    while queue.isEmpty {
      if isClosed { return nil }
      idle += 1
      condition.wait()
      idle -= 1
    }
    return queue.removeFirst()
  }
}
