import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Logging
import NIOConcurrencyHelpers

/// The node's life in its cluster: registers, then holds the leased heartbeat stream; whatever ends it,
/// starts again. So a node that is started before its coordinator, or outlives it, joins by itself.
final class CoordinatorLink: Sendable {
  /// What the node says of itself at registration.
  struct Introduction: Sendable {
    var node: NodeID
    var store: StoreID
    var boot: BootID
    var address: Endpoint
    var zone: String
    var version: String
    var disk: String
  }

  private struct State {
    var isJoined = false
    var hasEnded = false
    var joinWaiters: [UnsafeContinuation<Bool, Never>] = []
    /// Sequence of the first heartbeat that said "stopping", and whether it was answered.
    var stopSequence: UInt64?
    var stopIsKnown = false
    /// Makes the present stream send a heartbeat.
    var beat: AsyncStream<Void>.Continuation?
  }

  private let introduction: Introduction
  private let channel: RPCChannel
  private let membership: Membership
  private let space: SpaceJob
  private let scrub: ScrubJob
  private let disk: BlockingThreads
  private let interval: Duration
  private let clock: NodeClock
  private let logger: Logger
  private let state = NIOLockedValueBox(State())

  /// The protocol versions that this program speaks.
  private static let protocols: ClosedRange<UInt32> = 1...1
  private static let callTimeout: Duration = .seconds(5)

  init(
    introduction: Introduction, channel: RPCChannel, membership: Membership, space: SpaceJob,
    scrub: ScrubJob, disk: BlockingThreads, interval: Duration, clock: NodeClock, logger: Logger
  ) {
    self.introduction = introduction
    self.channel = channel
    self.membership = membership
    self.space = space
    self.scrub = scrub
    self.disk = disk
    self.interval = interval
    self.clock = clock
    self.logger = logger
  }

  /// Lives until cancelled.
  func run() async throws {
    defer { end() }
    var backoff = Backoff()
    var random = SystemRandom()
    var lastReason = ""
    while true {
      do {
        let terms = try await register()
        backoff.reset()
        lastReason = ""
        try await holdLease(terms)
      } catch {
        try Task.checkCancellation()
        let reason = "\(error)"
        if reason != lastReason { tell(error) }
        lastReason = reason
      }
      state.withLockedValue { $0.isJoined = false }
      try await clock.sleep(backoff.pause(using: &random))
    }
  }

  /// Returns true when the coordinator has granted a lease, at once while it holds; false when `run` has
  /// ended before.
  func joined() async -> Bool {
    await withUnsafeContinuation { continuation in
      let answer: Bool? = state.withLockedValue { state in
        if state.isJoined { return true }
        if state.hasEnded { return false }
        state.joinWaiters.append(continuation)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  private func end() {
    let waiters = state.withLockedValue { state in
      state.hasEnded = true
      defer { state.joinWaiters = [] }
      return state.joinWaiters
    }
    for waiter in waiters { waiter.resume(returning: false) }
  }

  /// Sends a heartbeat now, for there is news.
  func hurry() { _ = state.withLockedValue { $0.beat }?.yield() }

  /// Says goodbye: the next heartbeat tells that the node stops. Returns when that was answered or `limit` is
  /// over.
  func announceStop(within limit: Duration) async {
    membership.stop()
    hurry()
    let end = clock.now().advanced(by: limit)
    while !state.withLockedValue({ $0.stopIsKnown }), clock.now() < end, !Task.isCancelled {
      do { try await clock.sleep(.milliseconds(10)) } catch { return }
    }
  }

  // MARK: Registration

  private struct Terms: Sendable {
    var interval: Duration
    var lease: Duration
  }

  private func register() async throws -> Terms {
    let report = space.report
    let (seen, hasLostChunks) = (membership.seen, membership.tellLostChunks())
    let request = WireRegisterNodeRequest.with {
      $0.node = introduction.node.rawValue
      $0.store = introduction.store.rawValue
      $0.boot = introduction.boot.rawValue
      $0.cluster = seen.cluster?.rawValue ?? 0
      $0.address = introduction.address.description
      $0.zone = introduction.zone
      $0.capacityBytes = UInt64(max(0, report.space.capacity.rawValue))
      $0.highestEpoch = WireEpoch(seen.epoch)
      $0.highestRevision = seen.revision.rawValue
      $0.protocolLowest = Self.protocols.lowerBound
      $0.protocolHighest = Self.protocols.upperBound
      $0.version = introduction.version
      $0.disk = introduction.disk
      $0.lostChunks = hasLostChunks
    }
    let options = CallOptions(timeout: Self.callTimeout, waitForReady: true)
    let answer = try await channel.call(CoordinatorMethods.registerNode, request, options: options)
    guard Self.protocols.contains(answer.protocol) else {
      throw DFSError(
        .failedPrecondition,
        "the coordinator speaks protocol \(answer.protocol), this program \(Self.protocols); update one of them"
      )
    }
    guard answer.cluster != 0, answer.receiptKey.count == 32, (1...3_600_000).contains(answer.leaseMs) else {
      throw DFSError(.invalidArgument, "the coordinator's answer to the registration makes no sense")
    }
    let epoch = try Epoch(answer.epoch)
    try await disk.run { [membership] in
      try membership.registered(
        cluster: ClusterID(rawValue: answer.cluster), epoch: epoch,
        revision: Revision(rawValue: answer.revision),
        receiptKey: Array(answer.receiptKey))
      // Only now: until the answer, nobody may know.
      if hasLostChunks { try membership.forgetLostChunks() }
    }
    logger.info(
      "registered", metadata: ["cluster": "\(ClusterID(rawValue: answer.cluster))", "epoch": "\(epoch)"])
    let wanted: Duration = .milliseconds(Int64(clamping: max(50, answer.heartbeatMs)))
    return Terms(
      interval: answer.heartbeatMs == 0 ? interval : min(interval, wanted),
      lease: .milliseconds(Int64(answer.leaseMs)))
  }

  private func tell(_ error: any Error) {
    let error = DFSError(wrapping: error, "the heartbeat failed")
    switch error.code {
    case .stale, .failedPrecondition, .permissionDenied, .invalidArgument:
      logger.error("the coordinator is refused, or refuses this node", metadata: ["reason": "\(error)"])
    default:
      logger.warning("no contact with the coordinator; trying again", metadata: ["reason": "\(error)"])
    }
  }

  // MARK: Heartbeats

  /// What was asked and not answered yet.
  private struct Asked: Sendable {
    var at: ContinuousClock.Instant
    var reports: Int
  }

  private func holdLease(_ terms: Terms) async throws {
    // The stream lives for days: the timeout of other calls does not apply.
    let (beats, beat) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    state.withLockedValue { $0.beat = beat }
    try await channel.call(CoordinatorMethods.heartbeat) { writer, reader in
      let asked = NIOLockedValueBox<[UInt64: Asked]>([:])
      let answeredAt = NIOLockedValueBox(clock.now())
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await self.send(beats, to: writer, asked) }
        group.addTask { try await self.takeGrants(reader, asked, answeredAt) }
        group.addTask {
          while true {
            try await self.clock.sleep(terms.interval)
            // A coordinator that is silent for a third of the lease is tried at another address, or anew.
            let silence = answeredAt.withLockedValue { $0 }.duration(to: self.clock.now())
            guard silence < max(terms.lease / 3, terms.interval * 3) else {
              throw DFSError(.unavailable, "the coordinator did not answer for \(silence)")
            }
            beat.yield()
          }
        }
        beat.yield()
        defer { group.cancelAll() }
        try await group.next()
      }
    }
    throw DFSError(.unavailable, "the coordinator ended the heartbeat")
  }

  private func send(
    _ beats: AsyncStream<Void>, to writer: MessageWriter<WireHeartbeatRequest>,
    _ asked: NIOLockedValueBox<[UInt64: Asked]>
  ) async throws {
    var sequence: UInt64 = 0
    for await _ in beats {
      guard !membership.hasTooManyReports else {
        throw DFSError(
          .unavailable, "more replicas are bad than are told one by one; registering anew to tell it as a whole")
      }
      sequence += 1
      let reports = membership.pendingReports()
      let isStopping = membership.isStopping
      let now = clock.now()
      asked.withLockedValue { $0[sequence] = Asked(at: now, reports: reports.count) }
      if isStopping { state.withLockedValue { $0.stopSequence = $0.stopSequence ?? sequence } }
      try await writer.write(heartbeat(sequence, reports, isStopping, now))
    }
    throw CancellationError()
  }

  private func heartbeat(
    _ sequence: UInt64, _ reports: [WireReplicaReport], _ isStopping: Bool, _ now: ContinuousClock.Instant
  ) -> WireHeartbeatRequest {
    let report = space.report
    let refusal = space.refusal(of: report, now: now)
    return .with {
      $0.node = introduction.node.rawValue
      $0.boot = introduction.boot.rawValue
      $0.sequence = sequence
      $0.capacityBytes = UInt64(max(0, report.space.capacity.rawValue))
      $0.freeBytes = UInt64(max(0, (report.space.free - report.space.reserve).rawValue))
      $0.storedBytes = UInt64(max(0, report.space.chunks.rawValue))
      $0.chunks = UInt64(report.counts.chunks)
      $0.writable = refusal == nil
      $0.reason = refusal ?? ""
      $0.badReplicas = reports
      $0.stopping = isStopping
      $0.quarantined = UInt64(space.quarantinedNow)
      if let progress = scrub.progress {
        $0.scrub.done = progress.done
        $0.scrub.total = progress.total ?? 0
      }
      if let since = scrub.sinceLastPass { $0.scrub.endedMs = UInt64(since / .milliseconds(1)) }
    }
  }

  private func takeGrants(
    _ reader: MessageReader<WireHeartbeatResponse>, _ asked: NIOLockedValueBox<[UInt64: Asked]>,
    _ answeredAt: NIOLockedValueBox<ContinuousClock.Instant>
  ) async throws {
    while let answer = try await reader.next() {
      // An answer to nothing we asked, or the second page of one, brings news of groups but grants no lease.
      let mine = asked.withLockedValue { asked in
        defer { asked = asked.filter { $0.key > answer.sequence } }
        return asked[answer.sequence]
      }
      let epoch = try Epoch(answer.epoch)
      let groups = answer.groupEpochs.map { (GroupID(rawValue: $0.group), GroupEpoch(rawValue: $0.epoch)) }
      try await disk.run { [membership] in
        try membership.heard(epoch: epoch, revision: Revision(rawValue: answer.revision), groups: groups)
      }
      answeredAt.withLockedValue { [clock] in $0 = clock.now() }
      guard let mine else { continue }
      membership.grant(.milliseconds(Int64(min(answer.leaseMs, 3_600_000))), askedAt: mine.at)
      membership.reported(mine.reports)
      noteJoined(answer.sequence)
    }
  }

  private func noteJoined(_ sequence: UInt64) {
    let (waiters, isFirst) = state.withLockedValue { state in
      if let stop = state.stopSequence, sequence >= stop { state.stopIsKnown = true }
      defer {
        state.isJoined = true
        state.joinWaiters = []
      }
      return (state.joinWaiters, !state.isJoined)
    }
    for waiter in waiters { waiter.resume(returning: true) }
    if isFirst { logger.info("joined the cluster", metadata: ["node": "\(introduction.node)"]) }
  }
}
