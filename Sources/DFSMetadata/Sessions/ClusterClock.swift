/// The cluster's time as its leader continues it: what the store says, plus what the monotonic clock has
/// counted since.
struct ClusterClock: Sendable {
  private let base: ClusterTime
  private let start: Duration
  private let elapsed: @Sendable () -> Duration

  init(from base: ClusterTime, elapsed: @escaping @Sendable () -> Duration) {
    self.base = base
    self.elapsed = elapsed
    start = elapsed()
  }

  var now: ClusterTime { base + (elapsed() - start) }
}
