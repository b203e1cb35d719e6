import DFSCore
import DFSCrypto
import DFSWire
import DequeModule

/// Decides what an upload does next: which chunk is written under which index, when more indices are needed,
/// when a segment is sealed, the lease renewed, the version committed, and when to give up.
///
/// A value without clock, network or chance. The driver asks `nextStep` until it says `wait`, starts what it
/// is told, and reports how that went. Positions count the chunks in order of the file; an index is what the
/// coordinator allocated for one. A failed chunk goes again under a new index, because an id is write-once on
/// a node.
///
/// Memory is bounded by `Limits.ahead`: positions further ahead of the sealed part are not started.
struct UploadPlan: Sendable {
  typealias Instant = ContinuousClock.Instant

  struct Limits: Sendable {
    /// Chunks being written at a time.
    var inFlight = 4
    /// Chunks of one segment: part of the protocol.
    var segment = 512
    /// Chunks written beyond the sealed ones.
    var ahead = 1024
    /// When for so long chunks have failed and none was written, the upload ends.
    var patience: Duration = .seconds(30)
    /// The same once it is certain that too few datanodes can be reached: the coordinator knows no better
    /// members than those that failed, or says so itself.
    var shortage: Duration = .seconds(10)
    /// Times that one chunk is sent.
    var attempts = 24
    /// Times that one chunk is sent when nodes call the request itself wrong.
    var refusals = 3
  }

  /// An index that the coordinator allocated and that is not used yet.
  struct Slot: Sendable, Hashable {
    var index: UInt32
    var group: GroupID
    /// Allocated while the groups to avoid were known: as good as it gets.
    var isLastResort = false
  }

  struct WrittenChunk: Sendable, Equatable {
    var index: UInt32
    var group: GroupID
    var length: UInt32
    var root: Digest
    var receipts: [WireReceipt]
  }

  struct Commit: Sendable, Equatable {
    var chunkCount: Int
    var length: Int64
    var root: Digest
    var lastSegment: [WrittenChunk]
  }

  enum Step: Sendable, Equatable {
    /// Get the bytes of this position from the source. Only for sources of unknown length.
    case fill(position: Int)
    /// Write a chunk. `former` is what was written before and rejected: a source that cannot be read again
    /// gets its bytes from there.
    case write(position: Int, slot: Slot, former: WrittenChunk?)
    case allocate(count: Int)
    case seal(segment: Int, chunks: [WrittenChunk])
    case renew
    case commit(Commit)
    /// Nothing to start before this moment or the next report.
    case wait(until: Instant)
    case done
  }

  private struct Trouble: Sendable {
    var attempts = 0
    var notBefore: Instant
    var former: WrittenChunk?
  }

  let limits: Limits
  private var total: Int?
  /// Positions whose bytes the source can give.
  private var available: Int
  private var filling = false
  private var nextPosition = 0
  private var inFlight: Set<Int> = []
  private var again: [Int: Trouble] = [:]
  private var troubles: [Int: Int] = [:]
  private var written: [Int: WrittenChunk] = [:]
  private var sealedSegments = 0
  private var isSealing = false
  private var frontier = MerkleFrontier()
  private var length: Int64 = 0
  private var pool: Deque<Slot> = []
  private var allocatingSince: Instant?
  private var allocateNotBefore: Instant?
  private var isCommitting = false
  /// The first of the commits in a row that found sealed chunks with too few copies.
  private var delayedSince: Instant?
  private var commitNotBefore: Instant?
  private var isDone = false
  private var renewAt: Instant
  private var isRenewing = false
  /// The first failure since a chunk was last written.
  private var troubledSince: Instant?
  private(set) var failure: DFSError?
  /// Chunks that had to be written again.
  private(set) var rewritten = 0
  /// The fewest receipts that any sealed or written chunk got.
  private(set) var fewestReplicas = Int.max

  /// `chunkCount` is nothing when the source's length is not known yet; `filled` positions are there already.
  init(chunkCount: Int?, filled: Int = 0, limits: Limits, slots: [Slot], lease: Duration, now: Instant) {
    self.limits = limits
    total = chunkCount
    available = chunkCount ?? filled
    pool = Deque(slots)
    renewAt = now + lease / 3
  }

  // MARK: What happens next

  /// `canWrite` tells whether a group has enough members that this client believes in.
  mutating func nextStep(now: Instant, canWrite: (GroupID) -> Bool) throws -> Step {
    if let failure { throw failure }
    if isDone { return .done }
    if !isRenewing, !isCommitting, now >= renewAt {
      isRenewing = true
      return .renew
    }
    if let step = sealStep() { return step }
    if let step = fillStep() { return step }
    if let step = writeStep(now: now, canWrite: canWrite) { return step }
    if let step = commitStep(now: now) { return step }
    return .wait(until: wakeTime(now: now))
  }

  private mutating func sealStep() -> Step? {
    guard !isSealing else { return nil }
    let start = sealedSegments * limits.segment
    let end = start + limits.segment
    // The last segment goes with the commit, so it must be known that more follows.
    guard total.map({ end < $0 }) ?? (available > end) else { return nil }
    let chunks = (start..<end).compactMap { written[$0] }
    guard chunks.count == limits.segment else { return nil }
    isSealing = true
    return .seal(segment: sealedSegments, chunks: chunks)
  }

  private mutating func fillStep() -> Step? {
    guard total == nil, !filling, available < nextPosition + limits.inFlight else { return nil }
    filling = true
    return .fill(position: available)
  }

  private mutating func writeStep(now: Instant, canWrite: (GroupID) -> Bool) -> Step? {
    guard inFlight.count < limits.inFlight, let position = candidate(now: now) else { return nil }
    guard let slot = takeSlot(canWrite) else {
      guard allocatingSince == nil, allocateNotBefore.map({ $0 <= now }) ?? true else { return nil }
      allocatingSince = now
      return .allocate(count: slotsWanted())
    }
    let former = again.removeValue(forKey: position)?.former
    if position == nextPosition { nextPosition += 1 }
    inFlight.insert(position)
    return .write(position: position, slot: slot, former: former)
  }

  /// Chunks that failed come first: they hold up their segment.
  private func candidate(now: Instant) -> Int? {
    if let due = again.lazy.filter({ $0.value.notBefore <= now }).map(\.key).min() { return due }
    let horizon = sealedSegments * limits.segment + limits.ahead
    return nextPosition < min(available, horizon) ? nextPosition : nil
  }

  private mutating func takeSlot(_ canWrite: (GroupID) -> Bool) -> Slot? {
    let best = pool.firstIndex { canWrite($0.group) } ?? pool.firstIndex { $0.isLastResort }
    return best.map { pool.remove(at: $0) }
  }

  private func slotsWanted() -> Int {
    let rest = total.map { $0 - nextPosition + again.count } ?? limits.inFlight
    return max(1, min(rest, max(limits.inFlight * 4, 16), limits.segment))
  }

  private mutating func commitStep(now: Instant) -> Step? {
    guard let total, !isCommitting, !isSealing, !isRenewing, allocatingSince == nil, inFlight.isEmpty,
      commitNotBefore.map({ $0 <= now }) ?? true
    else { return nil }
    let start = sealedSegments * limits.segment
    let chunks = (start..<total).compactMap { written[$0] }
    guard chunks.count == total - start, chunks.count <= limits.segment else { return nil }
    var tree = frontier
    for chunk in chunks { tree.append(chunk.root) }
    isCommitting = true
    return .commit(
      Commit(
        chunkCount: total, length: length + chunks.reduce(0) { $0 + Int64($1.length) }, root: tree.root,
        lastSegment: chunks))
  }

  /// What is due already waits for a report, such as that of a renewal or of a free place in flight: to wake
  /// for it would be to spin.
  private func wakeTime(now: Instant) -> Instant {
    let times =
      again.values.map(\.notBefore) + (isRenewing ? [] : [renewAt])
      + [allocateNotBefore, commitNotBefore].compactMap(\.self)
    return times.filter { $0 > now }.min() ?? now + limits.patience
  }

  // MARK: What happened

  /// The source holds the bytes of one more position.
  mutating func filled() {
    filling = false
    available += 1
  }

  /// The source is at its end; it had exactly the positions that were filled.
  mutating func sourceEnded() {
    filling = false
    total = available
  }

  mutating func allocated(_ slots: [Slot], now: Instant) {
    endAllocating(now)
    pool.append(contentsOf: slots)
  }

  /// The coordinator has too few datanodes for a chunk. Some may come back in a moment.
  mutating func allocationFailed(_ error: DFSError, now: Instant) {
    endAllocating(now)
    let since = troubledSince ?? now
    troubledSince = since
    allocateNotBefore = now + .milliseconds(500)
    guard since.duration(to: now) >= limits.shortage else { return }
    fail(
      DFSError(
        error.code, "\(error.message); nothing is visible under the name", metadata: error.metadata,
        cause: error.cause))
  }

  /// While a coordinator is away no chunk is written, and that is not the datanodes' fault.
  private mutating func endAllocating(_ now: Instant) {
    guard let begin = allocatingSince else { return }
    allocatingSince = nil
    allocateNotBefore = nil
    troubledSince = troubledSince?.advanced(by: begin.duration(to: now))
  }

  mutating func wrote(_ position: Int, _ chunk: WrittenChunk, now: Instant) {
    inFlight.remove(position)
    troubles[position] = nil
    written[position] = chunk
    fewestReplicas = min(fewestReplicas, chunk.receipts.count)
    troubledSince = nil
  }

  /// What else there is to try after a failure.
  enum Prospect: Sendable { case others, none }

  /// A chunk was not written. Bytes that the source refuses are reported with `fail`, not here. The prospect
  /// is `.none` when the coordinator knew no better group, and too few of this one's members answer.
  mutating func writeFailed(
    _ position: Int, group: GroupID, former: WrittenChunk?, _ error: DFSError, prospect: Prospect = .others,
    now: Instant
  ) {
    inFlight.remove(position)
    // What was the best answer before this failure may not be the best one after it.
    for place in pool.indices where pool[place].group == group { pool[place].isLastResort = false }
    let attempts = (troubles[position] ?? 0) + 1
    troubles[position] = attempts
    let isRefusal = [.invalidArgument, .permissionDenied, .unauthenticated, .unimplemented].contains(
      error.code)
    let isHopeless = attempts >= (isRefusal ? limits.refusals : limits.attempts)
    let since = troubledSince ?? now
    troubledSince = since
    let patience = prospect == .none ? min(limits.patience, limits.shortage) : limits.patience
    if isHopeless || since.duration(to: now) >= patience {
      fail(
        DFSError(
          Self.verdict(error.code),
          "chunk \(position) could not be written to enough datanodes, after \(attempts) attempts; "
            + "nothing is visible under the name; \"dfsd status\" shows the datanodes",
          metadata: error.metadata, cause: error))
      return
    }
    rewritten += 1
    let pause: Duration =
      attempts == 1 ? .zero : min(.seconds(2), .milliseconds(50) * (1 << min(attempts - 2, 8)))
    again[position] = Trouble(attempts: attempts, notBefore: now + pause, former: former)
  }

  /// What a datanode's answer means for the upload as a whole. Whether one chunk was written may be unknown;
  /// that nothing is visible is certain.
  private static func verdict(_ code: DFSError.Code) -> DFSError.Code {
    switch code {
    case .invalidArgument, .permissionDenied, .unauthenticated, .exhausted, .corrupt, .unimplemented,
      .internal:
      code
    default: .unavailable
    }
  }

  mutating func sealed(_ segment: Int) {
    isSealing = false
    precondition(segment == sealedSegments, "segments are sealed in order")
    for position in segment * limits.segment..<(segment + 1) * limits.segment {
      guard let chunk = written.removeValue(forKey: position) else {
        preconditionFailure("a sealed segment is complete")
      }
      frontier.append(chunk.root)
      length += Int64(chunk.length)
    }
    sealedSegments += 1
  }

  /// The coordinator counts too few replicas of these indices; they are written again.
  mutating func rejected(_ indices: [UInt32], now: Instant) {
    isSealing = false
    isCommitting = false
    delayedSince = nil
    let refused = Set(indices)
    let affected = written.filter { refused.contains($0.value.index) }
    guard !affected.isEmpty else {
      return fail(DFSError(.internal, "the coordinator rejects chunks that this upload never wrote"))
    }
    for (position, chunk) in affected {
      written[position] = nil
      let error = DFSError(
        .unavailable, "too few of its replicas are on current members of group \(chunk.group)")
      writeFailed(position, group: chunk.group, former: chunk, error, now: now)
    }
  }

  mutating func renewed(lease: Duration, now: Instant) {
    isRenewing = false
    renewAt = now + lease / 3
  }

  /// The coordinator could not be asked; the lease may still hold.
  mutating func renewalFailed(now: Instant) {
    isRenewing = false
    renewAt = now + .seconds(1)
  }

  /// Members of a group changed or lost chunks, and sealed chunks have too few copies until repair has given
  /// them back: hours of writing are not thrown away for that. The lease is renewed meanwhile.
  mutating func commitDelayed(_ error: DFSError, now: Instant) {
    isCommitting = false
    let since = delayedSince ?? now
    delayedSince = since
    commitNotBefore = now + .milliseconds(500)
    guard since.duration(to: now) >= limits.patience else { return }
    fail(
      DFSError(
        error.code,
        "chunks that were stored have lost copies, and repair has not made them again within "
          + "\(limits.patience.formatted); nothing is visible under the name: put the file again",
        metadata: error.metadata, cause: error))
  }

  mutating func committed() {
    isCommitting = false
    isDone = true
  }

  /// Ends the upload: nothing that it does can succeed any more.
  mutating func fail(_ error: DFSError) {
    if failure == nil { failure = error }
  }
}
