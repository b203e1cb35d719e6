/// How long to wait before the next round of connection attempts: longer after each failure, up to a bound,
/// and never the same for two clients, so that they do not all come back at once.
struct ReconnectBackoff: Sendable, Hashable {
  /// A coordinator that restarts is back within seconds, and its clients should be soon after it: the longest
  /// wait is far below the two minutes of gRPC's own default.
  let initial: Duration
  let longest: Duration
  let multiplier = 1.6
  /// Each wait is up to this part shorter or longer.
  let jitter = 0.2

  private var failures = 0

  init(initial: Duration = .milliseconds(50), longest: Duration = .seconds(2)) {
    self.initial = initial
    self.longest = longest
  }

  /// The wait after one more failure.
  mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
    var wait = initial
    for _ in 0..<failures where wait < longest { wait = wait * multiplier }
    failures += 1
    return min(wait, longest) * Double.random(in: 1 - jitter...1 + jitter, using: &random)
  }

  mutating func reset() { failures = 0 }
}
