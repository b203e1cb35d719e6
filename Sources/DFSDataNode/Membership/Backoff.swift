/// How long to wait before the next attempt: twice as long each time up to a limit, with a random part, so
/// that a thousand nodes do not come back in the same millisecond.
struct Backoff {
  let first: Duration
  let longest: Duration
  private var next: Duration

  init(first: Duration = .milliseconds(100), longest: Duration = .seconds(3)) {
    self.first = first
    self.longest = longest
    next = first
  }

  mutating func reset() { next = first }

  /// Between half of the step and all of it.
  mutating func pause(using random: inout some RandomNumberGenerator) -> Duration {
    defer { next = min(next * 2, longest) }
    return next * Double.random(in: 0.5...1, using: &random)
  }
}
