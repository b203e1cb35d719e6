/// Keeps retries from multiplying the load of a server in trouble: gRPC's retry throttling (proposal A6).
///
/// A bucket of tokens: a failure takes one, a success gives a tenth back, and calls are sent again only while
/// more than half of the bucket is left. So in the long run at most one call in ten is a retry.
struct RetryBudget: Sendable, Hashable {
  private let capacity: Double
  private var tokens: Double

  init(capacity: Int = 100) {
    precondition(capacity > 0, "a retry budget holds tokens")
    self.capacity = Double(capacity)
    tokens = Double(capacity)
  }

  mutating func recordSuccess() { tokens = min(capacity, tokens + 0.1) }

  /// Takes note of a failure that a retry might cure; says whether there is budget for one.
  mutating func recordFailure() -> Bool {
    tokens = max(0, tokens - 1)
    return tokens > capacity / 2
  }
}
