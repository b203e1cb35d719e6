package import DFSCore

/// When the next step of a job is due, at its configured pace.
package enum Pace: Sendable, Hashable {
  /// There is more to do.
  case atOnce
  /// Nothing to do before this time has passed.
  case after(Duration)
}

/// A background job: a name and a bounded step. The runner owns its pace, its failures and its end.
///
/// What an operator may want to know or to change has defaults: a job that counts nothing has no progress, one
/// that does not work in passes has none to begin. A job that bounds its own rate gets its pace as percent of
/// the configured one; for all others the runner stretches the time between steps.
package protocol Job: Sendable {
  /// As `admin jobs` and the logs call it: `snake_case`.
  var name: String { get }
  /// One sentence on what it does, for a person who decides whether to pause it.
  var what: String { get }
  /// Without it the process does not work: it can be neither paused nor slowed down.
  var isVital: Bool { get }
  /// How far the present pass is. Asked from any task at any time: it must not wait.
  var progress: JobProgress? { get }

  /// One bounded unit of work. A failure is logged, and the step tried again later.
  func step() async throws -> Pace
  /// Begins at the beginning with the next step, which follows at once. Called beside a running step.
  func beginPass()
  /// Takes a new pace, percent of the configured one, and zero while the job is paused: a step that may last is
  /// to end then. Called beside a running step.
  func changePace(percent: Int)
}

extension Job {
  package var isVital: Bool { false }
  package var progress: JobProgress? { nil }
  package func beginPass() {}
  package func changePace(percent: Int) {}
}
