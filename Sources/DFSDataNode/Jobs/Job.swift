/// A background job of this node. `step()` is one bounded unit of work; the runner owns the pace.
protocol Job: Sendable {
  /// For logs and for `admin jobs`: a noun in lower case.
  var name: String { get }
  /// Does one unit and returns how long to wait before the next.
  func step() async throws -> Duration
}
