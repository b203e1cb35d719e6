/// Whether this node may take new writes: for half of its lease after the last grant of its coordinator.
///
/// A node that is cut off stops before the coordinator gives its slots away, so no write is accepted under a
/// membership that has ended. Reads and running transfers go on. The lease counts from the moment the
/// heartbeat was *sent*: the answer may have been under way for any time.
struct LeaseGuard {
  typealias Instant = ContinuousClock.Instant

  private var writableUntil: Instant?

  /// Takes a grant for `lease`, asked for at `sent`. A grant never shortens an earlier one.
  mutating func grant(_ lease: Duration, askedAt sent: Instant) {
    let until = sent.advanced(by: lease / 2)
    writableUntil = max(writableUntil ?? until, until)
  }

  /// Ends the right at once: another coordinator, or a stop on purpose.
  mutating func revoke() { writableUntil = nil }

  func acceptsWrites(at now: Instant) -> Bool { writableUntil.map { now < $0 } ?? false }
}
