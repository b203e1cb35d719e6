/// When the next step of a job is due.
package enum Pace: Sendable, Hashable {
  /// There is more to do.
  case atOnce
  /// Nothing to do before this time has passed.
  case after(Duration)
}

/// A background job: a name and a bounded step. The runner owns its pace, its failures and its end.
package protocol Job: Sendable {
  /// As `admin jobs` and the logs call it: `snake_case`.
  var name: String { get }
  /// One bounded unit of work. A failure is logged, and the step tried again later.
  func step() async throws -> Pace
}

/// What a job has done so far.
package struct JobStatus: Sendable {
  package var name: String
  package var steps: UInt64 = 0
  package var failures: UInt64 = 0
  /// Of the last step, if it failed.
  package var lastError: String?
  package var lastStep: ContinuousClock.Instant?

  package init(name: String) { self.name = name }
}
