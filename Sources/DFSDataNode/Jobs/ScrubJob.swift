import DFSChunkStore
import DFSCore
import DFSJobs
import DFSObservability
import Logging
import Metrics
import NIOConcurrencyHelpers

/// Reads every chunk of this node against its hashes within a period, giving way to clients. A bad one is
/// moved aside (its bytes are kept) and reported, so that a good copy takes its place.
///
/// Its place is durable now and then: a restart goes on there, and verifies at most a minute's work again.
final class ScrubJob: Job {
  private struct State {
    var plan: ScrubPlan
    /// Chunks that come next.
    var ahead: ArraySlice<ChunkDescription> = []
    var wantsNewPass = false
    var savedAt: ContinuousClock.Instant?
  }

  let name = "scrub"
  let what = "Reads every stored chunk and compares it with its hashes."

  private let service: DataNodeService
  private let directory: DataDirectory
  /// Milliseconds since 1970.
  private let wallClock: @Sendable () -> Int64
  private let state: NIOLockedValueBox<State>
  private let scrubbedBytes = Counter(label: MetricNames.datanodeScrubbedBytes)
  private let scrubbedChunks = Counter(label: MetricNames.datanodeScrubbedChunksTotal)

  /// One step verifies no more than this and one chunk.
  private static let stepBytes = 8 << 20
  private static let stepChunks = 64
  private static let pageSize = 256
  private static let idle = Duration.seconds(60)
  private static let saveEvery = Duration.seconds(60)

  init(
    _ service: DataNodeService, _ directory: DataDirectory, record: ScrubRecord, period: Duration,
    wallClock: @escaping @Sendable () -> Int64
  ) {
    self.service = service
    self.directory = directory
    self.wallClock = wallClock
    var plan = ScrubPlan(record, period: period)
    if record.beganAt == 0 { plan.begin(at: max(1, wallClock()), hurried: false) }
    state = NIOLockedValueBox(State(plan: plan))
  }

  func beginPass() { state.withLockedValue { $0.wantsNewPass = true } }

  var progress: JobProgress? {
    let done = state.withLockedValue { $0.plan.record.done }
    return JobProgress(done: done, total: max(done, UInt64(service.store.counts().chunks)), unit: "chunks")
  }

  /// For the heartbeat: since the last complete pass, `nil` before the first.
  var sinceLastPass: Duration? {
    let now = wallClock()
    return state.withLockedValue { $0.plan.sinceEnd(now: now) }
  }

  func step() async throws -> Pace {
    startOverIfAsked()
    let stored = try await service.disk.run { [store = service.store] in try store.space().chunks }
    let pause = state.withLockedValue { $0.plan.pause(stored: stored) }
    if pause > .zero { return .after(pause) }
    try await fill()
    guard state.withLockedValue({ !$0.ahead.isEmpty }) else { return try await endPass() }
    var (bytes, chunks) = (0, 0)
    while bytes < Self.stepBytes, chunks < Self.stepChunks,
      let next = state.withLockedValue({ $0.wantsNewPass ? nil : $0.ahead.first })
    {
      try await verify(next)
      bytes += next.storedBytes.int
      chunks += 1
    }
    // Whether that was the last one is told now, not after the pause for it.
    try await fill()
    if state.withLockedValue({ $0.ahead.isEmpty && !$0.wantsNewPass }) { return try await endPass() }
    try await saveNowAndThen()
    return .atOnce
  }

  /// Makes the present place durable; also called at the stop. Blocks.
  func save() throws { try directory.save(state.withLockedValue { $0.plan.record }) }

  private func startOverIfAsked() {
    let now = wallClock()
    state.withLockedValue { state in
      guard state.wantsNewPass else { return }
      state.wantsNewPass = false
      state.ahead = []
      state.plan.begin(at: now, hurried: true)
    }
  }

  private func fill() async throws {
    let (isEmpty, cursor) = state.withLockedValue { ($0.ahead.isEmpty, $0.plan.record.cursor) }
    guard isEmpty else { return }
    let chunks = try await service.chunks(after: cursor, limit: Self.pageSize)
    state.withLockedValue { $0.ahead = chunks[...] }
  }

  private func verify(_ chunk: ChunkDescription) async throws {
    let place = ChunkPlace(chunk: chunk.chunk, group: chunk.group)
    do {
      let took = try await service.disk.run { [store = service.store] in
        let start = ContinuousClock.now
        _ = try store.verify(place.chunk, in: place.group)
        return ContinuousClock.now - start
      }
      pass(place, bytes: chunk.storedBytes.int)
      scrubbedBytes.increment(by: chunk.storedBytes.int)
      scrubbedChunks.increment()
      try await service.pacer.rest(after: chunk.length, took: took)
    } catch let error as DFSError {
      switch error.code {
      case .corrupt:
        let isBad = await service.quarantine(place.chunk, in: place.group, because: error)
        pass(place, bytes: chunk.storedBytes.int, isBad: isBad)
      case .notFound: pass(place, bytes: 0)
      default:
        guard state.withLockedValue({ $0.plan.stumbled() }) else { throw error }
        service.logger.error(
          "a chunk can not be verified; passing it by",
          metadata: ["chunk": "\(place.chunk)", "group": "\(place.group)", "reason": "\(error)"])
        pass(place, bytes: 0)
      }
    }
  }

  private func pass(_ place: ChunkPlace, bytes: Int, isBad: Bool = false) {
    state.withLockedValue { state in
      state.ahead = state.ahead.dropFirst()
      state.plan.passed(place, bytes: bytes, isBad: isBad)
    }
  }

  private func endPass() async throws -> Pace {
    let now = wallClock()
    let ended = state.withLockedValue { state in
      defer { state.plan.end(at: now) }
      return state.plan.record
    }
    // An empty store is verified at any time, and not worth a line.
    guard ended.done > 0 else { return .after(Self.idle) }
    try await service.disk.run { try self.save() }
    service.logger.info(
      "a pass of the scrub is complete",
      metadata: [
        "chunks": "\(ended.done)", "bad": "\(ended.bad)",
        "took": "\(Duration.milliseconds(max(0, now - ended.beganAt)))",
      ])
    return .atOnce
  }

  private func saveNowAndThen() async throws {
    let now = service.clock.now()
    let isDue = state.withLockedValue { state in
      guard let saved = state.savedAt else {
        state.savedAt = now
        return false
      }
      guard saved.duration(to: now) >= Self.saveEvery else { return false }
      state.savedAt = now
      return true
    }
    if isDue { try await service.disk.run { try self.save() } }
  }
}

extension DataNodeService {
  /// The chunks after `place` in order of group and id, at most `limit` and of one group; none at the end.
  /// Those with a damaged footer are left out and reported.
  func chunks(after place: ChunkPlace?, limit: Int) async throws -> [ChunkDescription] {
    let groups = try await disk.run { [store] in try store.groups() }
    for group in groups where place.map({ group >= $0.group }) ?? true {
      var page = ChunkPage(chunks: [], more: true)
      var cursor = place?.group == group ? place?.chunk : nil
      while page.more, page.chunks.isEmpty {
        page = try await list(group, after: cursor, limit: limit)
        cursor = page.last ?? cursor
      }
      if !page.chunks.isEmpty { return page.chunks }
    }
    return []
  }
}
