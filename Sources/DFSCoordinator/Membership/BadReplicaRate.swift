/// How many replicas of one node were found bad lately. Bounded: one number for each tenth of the window.
package struct BadReplicaRate: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  private struct Bucket: Hashable, Sendable {
    var start: Instant
    var count: Int
  }
  private var buckets: [Bucket] = []

  package init() {}

  /// Within the window that ended with the last finding.
  package var count: Int { buckets.reduce(0) { $0 + $1.count } }

  package mutating func add(_ count: Int, now: Instant, window: Duration) {
    buckets.removeAll { now - $0.start >= window }
    if let last = buckets.last, now - last.start < window / 10 {
      buckets[buckets.count - 1].count += count
    } else {
      buckets.append(Bucket(start: now, count: count))
    }
  }

  package mutating func reset() { buckets = [] }
}
