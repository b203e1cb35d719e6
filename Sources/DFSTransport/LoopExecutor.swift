import DequeModule
import NIOConcurrencyHelpers
package import NIOCore

/// Runs Swift tasks on the thread of one NIO event loop, so that a handler works where its connection lives:
/// its reads, writes and answers need no thread hop and no lock.
///
/// Jobs that become ready while the loop reads from a socket run when that read is done (`drain`), then
/// each connection that got output is flushed once. It is a `TaskExecutor` only: one object that is a
/// serial executor too could not tell in which role a job was enqueued.
package final class LoopExecutor: TaskExecutor, @unchecked Sendable {
  // SAFETY: `jobs`, `outputs`, `isReading`, `isDraining`, `isScheduled`, `deadlines` and `isWheelTurning` are
  // touched on the loop's thread only; `foreign` is behind its lock.
  package let loop: any EventLoop
  private var jobs: Deque<UnownedJob> = []
  private var outputs: [any PendingOutput] = []
  private var isReading = false
  private var isDraining = false
  private var isScheduled = false
  private let foreign = NIOLockedValueBox<[UnownedJob]>([])
  private let deadlines = DeadlineWheel(now: HTTP2Session.now())
  private var isWheelTurning = false

  init(loop: any EventLoop) { self.loop = loop }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    guard loop.inEventLoop else {
      let isFirst = foreign.withLockedValue { queue in
        queue.append(job)
        return queue.count == 1
      }
      if isFirst { loop.execute { self.drain() } }
      return
    }
    jobs.append(job)
    scheduleDrain()
  }

  /// Does `action` on the loop at `deadline`, up to 10 ms late, unless the entry is cancelled. Call it on
  /// the loop.
  package func at(_ deadline: ContinuousClock.Instant, _ action: @escaping () -> Void) -> DeadlineEntry {
    loop.assertInEventLoop()
    let now = HTTP2Session.now()
    defer { turnWheel() }
    return deadlines.add(at: now + ContinuousClock.now.duration(to: deadline), now: now, action)
  }

  private func turnWheel() {
    guard !isWheelTurning, deadlines.count > 0 else { return }
    isWheelTurning = true
    loop.scheduleTask(in: .nanoseconds(DeadlineWheel.tick.nanoseconds)) {
      self.isWheelTurning = false
      self.deadlines.advance(to: HTTP2Session.now())
      self.turnWheel()
    }
  }

  /// Runs `work` on the loop: at once when called there, else soon.
  package func run(_ work: @escaping @Sendable () -> Void) {
    if loop.inEventLoop { work() } else { loop.execute(work) }
  }

  /// A connection that got output calls this once; `drain` then flushes it.
  func flushLater(_ output: any PendingOutput) {
    outputs.append(output)
    scheduleDrain()
  }

  /// Between `beginReading` and `drain` no drain is scheduled, because one is certain to come.
  func beginReading() { isReading = true }

  private func scheduleDrain() {
    guard !isReading, !isDraining, !isScheduled else { return }
    isScheduled = true
    loop.execute {
      self.isScheduled = false
      self.drain()
    }
  }

  /// Runs every job that is ready, then flushes every connection with output, until neither is left.
  func drain() {
    isReading = false
    guard !isDraining else { return }
    isDraining = true
    takeForeignJobs()
    // A job may enqueue others. A bound gives the sockets their turn; the rest runs in the next tick.
    var budget = 4096
    while budget > 0, !(jobs.isEmpty && outputs.isEmpty) {
      while budget > 0, let job = jobs.popFirst() {
        job.runSynchronously(on: asUnownedTaskExecutor())
        budget -= 1
      }
      let flushing = outputs
      outputs.removeAll(keepingCapacity: true)
      for output in flushing { output.flushPending() }
    }
    isDraining = false
    if !(jobs.isEmpty && outputs.isEmpty) { scheduleDrain() }
  }

  private func takeForeignJobs() {
    foreign.withLockedValue { queue in
      jobs.append(contentsOf: queue)
      queue.removeAll(keepingCapacity: true)
    }
  }
}

/// Output that waits for the end of the loop's tick.
protocol PendingOutput: AnyObject {
  func flushPending()
}
