import DFSCore

/// Works out how fast something grows from looks at it now and then: the mean of the last minute, which sinks
/// when nothing happens any more. A count that falls is a new beginning.
struct RateMeter: Sendable {
  private struct Sample {
    var time: Duration
    var done: UInt64
  }
  private var samples: [Sample] = []

  /// What is older says nothing about "lately".
  private static let window = Duration.seconds(60)
  /// Looks that follow each other faster count as one: at most about 60 are kept.
  private static let spacing = Duration.seconds(1)

  mutating func add(_ progress: JobProgress?, now: Duration) {
    guard let progress else { return samples = [] }
    if let last = samples.last, progress.done < last.done { samples = [] }
    // The last sample is the present one; it stays when it is far enough from the one before it.
    if samples.count >= 2, samples[samples.count - 1].time - samples[samples.count - 2].time < Self.spacing {
      samples.removeLast()
    }
    samples.append(Sample(time: now, done: progress.done))
    while samples.count > 2, samples[1].time <= now - Self.window { samples.removeFirst() }
  }

  /// Units a second; zero until a second was seen.
  func rate(now: Duration) -> Double {
    guard let first = samples.first, let last = samples.last, now - first.time >= Self.spacing else { return 0 }
    return Double(last.done - first.done) / ((now - first.time) / .seconds(1))
  }

  /// Until `total` is reached at this rate; `nil` when it stands still or the total is not known.
  func timeLeft(_ progress: JobProgress?, now: Duration) -> Duration? {
    guard let progress, let total = progress.total else { return nil }
    guard progress.done < total else { return total == 0 ? nil : .zero }
    let rate = rate(now: now)
    guard rate > 0 else { return nil }
    return .milliseconds(Int64(min(1e15, Double(total - progress.done) / rate * 1000)))
  }
}
