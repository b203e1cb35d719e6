import DFSCore

/// Everything that is to be decided about one job, from what happened and the time: how long it pauses after a
/// step, whether it may step at all, and what an operator is told of it. Times count from any fixed moment.
struct JobState: Sendable {
  private(set) var isPaused = false
  private(set) var pacePercent = 100
  private var isWorking = false
  private var steps: UInt64 = 0
  private var failures: UInt64 = 0
  private(set) var failuresInRow = 0
  private var lastError: String?
  private var stepBegan: Duration?
  private var stepEnded: Duration?
  private var meter = RateMeter()

  static let longestRetry = Duration.seconds(30)

  mutating func begin(_ progress: JobProgress?, now: Duration) {
    isWorking = true
    stepBegan = now
    meter.add(progress, now: now)
  }

  /// Ends a step that succeeded; gives the time until the next one.
  mutating func finish(_ pace: Pace, _ progress: JobProgress?, now: Duration) -> Duration {
    end(progress, now: now)
    failuresInRow = 0
    lastError = nil
    switch pace {
    case .after(let pause): return pause * 100 / pacePercent
    case .atOnce:
      // At half the pace a job works for half of the time.
      guard pacePercent < 100, let stepBegan else { return .zero }
      return (now - stepBegan) * (100 - pacePercent) / pacePercent
    }
  }

  /// Ends a step that failed; gives the time until it is tried again, longer each time.
  mutating func fail(_ error: String, _ progress: JobProgress?, now: Duration) -> Duration {
    end(progress, now: now)
    failures += 1
    failuresInRow += 1
    lastError = error
    return min(Self.longestRetry, .milliseconds(500) * (1 << min(failuresInRow - 1, 6)))
  }

  private mutating func end(_ progress: JobProgress?, now: Duration) {
    isWorking = false
    steps += 1
    stepEnded = now
    meter.add(progress, now: now)
  }

  mutating func apply(_ action: JobAction, to job: any Job) throws {
    switch action {
    case .pause:
      try refuseVital(job)
      isPaused = true
    case .resume: isPaused = false
    case .run:
      guard !isPaused else {
        throw DFSError(.failedPrecondition, "job \(job.name) is paused: resume it first")
      }
    case .pace(let percent):
      guard JobAction.pacePercents.contains(percent) else {
        let (least, most) = (JobAction.pacePercents.lowerBound, JobAction.pacePercents.upperBound)
        throw DFSError(.invalidArgument, "a pace is \(least) to \(most) percent, not \(percent)")
      }
      if percent < 100 { try refuseVital(job) }
      pacePercent = percent
    }
  }

  private func refuseVital(_ job: any Job) throws {
    guard job.isVital else { return }
    throw DFSError(
      .failedPrecondition,
      "job \(job.name) can be neither paused nor slowed down: its process does not work without it")
  }

  /// How the job stands. Looking counts as a measurement of its progress.
  mutating func status(of job: any Job, now: Duration) -> JobStatus {
    let progress = job.progress
    meter.add(progress, now: now)
    var status = JobStatus(name: job.name, what: job.what)
    status.isWorking = isWorking
    status.isPaused = isPaused
    status.steps = steps
    status.failures = failures
    status.lastError = lastError
    status.progress = progress
    status.rate = meter.rate(now: now)
    status.timeLeft = isPaused ? nil : meter.timeLeft(progress, now: now)
    status.pacePercent = pacePercent
    status.sinceLastStep = stepEnded.map { max(.zero, now - $0) }
    return status
  }
}
