import DFSCore

/// How fast repair and scrub go: not over a rate, and while clients are served only for a part of the time.
///
/// All background work of a node shares one of these. Each piece reserves its time at the end of what was
/// reserved before, so ten pieces at once go no faster than one after another. Time instead of bytes measures
/// what yields: on a disk that clients keep busy a piece takes longer, and the pause after it grows with it.
struct BackgroundPace {
  typealias Instant = ContinuousClock.Instant

  struct Limits: Sendable, Hashable {
    /// Bytes a second; nothing for all that the disk gives.
    var rate: ByteCount?
    /// The part of the time for background work while the foreground is busy.
    var busyShare = 0.05
    /// The foreground counts as busy for so long after each piece of its own.
    var afterglow: Duration = .milliseconds(300)
    /// So much is caught up on after a rest, so that a rate is kept although work comes in pieces.
    var burst: Duration = .milliseconds(250)
    /// The longest pause for the sake of the foreground: repair goes on under any load.
    var longestYield: Duration = .seconds(1)
  }

  private let limits: Limits
  /// When the rate allows the next piece.
  private var rateFreeAt: Instant?
  /// When the foreground leaves room for the next piece.
  private var shareFreeAt: Instant?
  private var busyUntil: Instant?

  init(_ limits: Limits = Limits()) { self.limits = limits }

  /// A piece of a client's read or write went through the node.
  mutating func noteForeground(at now: Instant) { busyUntil = now.advanced(by: limits.afterglow) }

  func isBusy(at now: Instant) -> Bool { busyUntil.map { now < $0 } ?? false }

  /// How long to rest after a piece of `bytes` bytes that kept the disk for `took` and ended at `now`.
  mutating func pause(after bytes: Int, took: Duration, at now: Instant) -> Duration {
    max(pauseForRate(bytes, at: now), pauseForForeground(took, at: now))
  }

  private mutating func pauseForRate(_ bytes: Int, at now: Instant) -> Duration {
    guard let rate = limits.rate, bytes > 0 else { return .zero }
    let earliest = now.advanced(by: .zero - limits.burst)
    let free = max(rateFreeAt ?? earliest, earliest)
      .advanced(by: .seconds(Double(bytes) / Double(max(1, rate.rawValue))))
    rateFreeAt = free
    return max(.zero, now.duration(to: free))
  }

  private mutating func pauseForForeground(_ took: Duration, at now: Instant) -> Duration {
    guard isBusy(at: now) else {
      shareFreeAt = nil
      return .zero
    }
    let start = now.advanced(by: .zero - took)
    let free = max(shareFreeAt ?? start, start).advanced(by: took / limits.busyShare)
    shareFreeAt = min(free, now.advanced(by: limits.longestYield))
    return max(.zero, now.duration(to: shareFreeAt ?? now))
  }
}
