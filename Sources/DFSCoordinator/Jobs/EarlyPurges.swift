/// Deletions that left the trash before their time, for `status`: who counts on the trash must know. Of this
/// coordinator's life; forgotten a day after the last one. A value with injected time.
package struct EarlyPurges: Sendable, Hashable {
  package typealias Instant = ContinuousClock.Instant

  package enum Cause: Sendable, Hashable {
    /// Less than a tenth of the capacity was free.
    case space
    /// There were more than the metadata are meant to hold.
    case entries
  }

  private struct Count: Sendable, Hashable {
    var deletions: UInt64
    var last: Instant
  }
  private static let lifetime = Duration.seconds(86_400)
  private var counts: [Cause: Count] = [:]

  package init() {}

  package mutating func add(_ deletions: Int, _ cause: Cause, now: Instant) {
    guard deletions > 0 else { return }
    counts[cause] = Count(deletions: recent(cause, now: now) + UInt64(deletions), last: now)
  }

  package func recent(_ cause: Cause, now: Instant) -> UInt64 {
    guard let count = counts[cause], now - count.last < Self.lifetime else { return 0 }
    return count.deletions
  }
}
