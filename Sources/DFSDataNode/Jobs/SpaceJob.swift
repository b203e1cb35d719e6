import DFSChunkStore
import DFSCore
import DFSJobs
import DFSObservability
import DFSTransport
import Metrics
import NIOConcurrencyHelpers

/// Measures the disk, so that a heartbeat never waits for it.
final class SpaceJob: Job {
  struct Report: Sendable {
    var space = StoreSpace(capacity: .zero, free: .zero, reserve: .zero, claimed: .zero, chunks: .zero)
    var counts = StoreCounts()
    var health = StoreHealth.writable
    var measuredAt: ContinuousClock.Instant?
  }

  let name = "space"
  let what = "Measures the disk and counts the chunks."
  let isVital = true
  private let store: any ChunkStore
  private let disk: BlockingThreads
  private let clock: NodeClock
  private let state = NIOLockedValueBox(Report())
  private let chunks = Gauge(label: MetricNames.datanodeChunksTotal)
  private let quarantined = Gauge(label: MetricNames.datanodeQuarantinedChunks)

  /// A disk that answers nothing for so long takes no writes.
  private static let patience: Duration = .seconds(10)
  /// Less is no room for a chunk of the usual size.
  private static let leastRoom = ByteCount.mib(8)

  init(store: any ChunkStore, disk: BlockingThreads, clock: NodeClock) {
    self.store = store
    self.disk = disk
    self.clock = clock
  }

  func step() async throws -> Pace {
    var report = try await disk.run { [store] in
      Report(space: try store.space(), counts: store.counts(), health: store.health)
    }
    report.measuredAt = clock.now()
    state.withLockedValue { $0 = report }
    chunks.record(report.counts.chunks)
    quarantined.record(report.counts.quarantined)
    return .after(.seconds(1))
  }

  /// As it is now: whoever waits for the scrub asks for it the moment that the scrub is done.
  var quarantinedNow: Int { store.counts().quarantined }

  var report: Report { state.withLockedValue { $0 } }

  /// Why the node takes no writes; `nil` when it does.
  func refusal(of report: Report, now: ContinuousClock.Instant) -> String? {
    if case .failed(let error) = report.health { return error.description }
    guard let measured = report.measuredAt else { return "the disk was not measured yet" }
    if measured.advanced(by: Self.patience) < now { return "the disk does not answer" }
    if report.space.available < Self.leastRoom { return "the disk is full" }
    return nil
  }
}
