/// How far a background job has come.
public struct JobProgress: Sendable, Hashable {
  /// What is done of the present pass.
  public var done: UInt64
  /// How much there is; `nil` when that is not known.
  public var total: UInt64?
  /// What is counted: "chunks", "groups", "bytes", "records".
  public var unit: String

  public init(done: UInt64, total: UInt64?, unit: String) {
    self.done = done
    self.total = total
    self.unit = unit
  }
}

/// How a background job stands at one moment.
public struct JobStatus: Sendable, Hashable {
  /// Names the job: `snake_case`.
  public var name: String
  /// One sentence on what it does.
  public var what: String
  /// The datanode that it runs on; `nil` for the coordinator.
  public var node: NodeID?
  /// False while it waits for its next step.
  public var isWorking = false
  /// An operator has paused it; a restart of its process resumes it.
  public var isPaused = false
  /// Steps taken, and those that failed, since the process started.
  public var steps: UInt64 = 0
  public var failures: UInt64 = 0
  /// Of the last step, if that failed.
  public var lastError: String?
  /// `nil` for a job that has nothing to count.
  public var progress: JobProgress?
  /// Units a second, lately.
  public var rate: Double = 0
  /// Until the present pass is done; `nil` when that is not known.
  public var timeLeft: Duration?
  /// Percent of its configured pace: 100 unless an operator changed it.
  public var pacePercent = 100
  /// Since the end of its last step; `nil` before the first.
  public var sinceLastStep: Duration?

  public init(name: String, what: String) {
    self.name = name
    self.what = what
  }
}

/// What an operator may do with a background job.
public enum JobAction: Sendable, Hashable {
  /// No further step until it is resumed or its process restarts.
  case pause
  /// Goes on.
  case resume
  /// Takes its next step at once; a job that works in passes begins a new one.
  case run
  /// So many percent of its configured pace, within `pacePercents`.
  case pace(percent: Int)

  /// What a pace may be.
  public static let pacePercents = 1...10_000
}
