import DFSChunkStore
import DFSCore

/// How far the scrub is and when it goes on: every chunk once within the period, evenly, and a part of the
/// period left for what comes between.
///
/// What was verified is owed as waiting time, at the pace that the store's size asks for *now*: a store that
/// grows does not wait out the pause of a small one.
struct ScrubPlan {
  private(set) var record: ScrubRecord
  private let period: Duration
  private var owedBytes = 0.0
  private var stumbles = 0

  /// A pass takes four fifths of the period, so that it is complete within it although the node was busy.
  private static let reserve = 1.25
  /// A pause is taken in such parts.
  private static let longestPause = Duration.seconds(60)
  /// A chunk that could be neither verified nor refuted so often is passed by until the next pass.
  private static let mostStumbles = 3

  init(_ record: ScrubRecord, period: Duration) {
    self.record = record
    self.period = period
  }

  /// Begins at the beginning. A hurried pass waits for nobody but clients.
  mutating func begin(at now: Int64, hurried: Bool) {
    record.beganAt = now
    record.cursor = nil
    (record.done, record.bad) = (0, 0)
    record.isHurried = hurried
    owedBytes = 0
    stumbles = 0
  }

  /// `place` is done: it was verified, or proved bad, or was not there any more.
  mutating func passed(_ place: ChunkPlace, bytes: Int, isBad: Bool = false) {
    record.cursor = place
    record.done += 1
    if isBad { record.bad += 1 }
    owedBytes += Double(bytes)
    stumbles = 0
  }

  /// `place` could not be verified now, and it is not the chunk's fault. Answers whether to pass it by.
  mutating func stumbled() -> Bool {
    stumbles += 1
    return stumbles >= Self.mostStumbles
  }

  /// Every chunk was passed.
  mutating func end(at now: Int64) {
    let owed = owedBytes
    record.endedAt = max(1, now)
    begin(at: now, hurried: false)
    owedBytes = owed
  }

  /// What to wait before going on in a store of so many bytes; to be asked again after it.
  mutating func pause(stored: ByteCount) -> Duration {
    guard !record.isHurried, owedBytes > 0 else { return .zero }
    let rate = max(1, Double(stored.rawValue)) * Self.reserve / max(0.001, period / .seconds(1))
    let pause = min(Self.longestPause, .seconds(owedBytes / rate))
    owedBytes -= rate * (pause / .seconds(1))
    // Less than a block is not worth a timer.
    if owedBytes < 1 { owedBytes = 0 }
    return pause
  }

  /// Since the last complete pass; `nil` before the first. A clock that was set back hides nothing.
  func sinceEnd(now: Int64) -> Duration? { record.endedAt.map { .milliseconds(max(0, now - $0)) } }
}
