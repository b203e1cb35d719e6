import DFSChunkStore
import DFSCore
import DFSCrypto
import DFSWire
import DequeModule
import Foundation
import NIOConcurrencyHelpers

/// What this node knows of its cluster, asked by every call: may it write, whom does it obey, with which key
/// does it seal, and what has it to report.
///
/// The decisions are `LeaseGuard`, `GroupEpochs` and `CoordinatorFence`. What must survive a restart is
/// written to the data directory *before* it is adopted here.
final class Membership: Sendable {
  private struct State {
    var lease = LeaseGuard()
    var epochs: GroupEpochs
    var fence: CoordinatorFence
    var seal: MessageAuthenticator?
    var isStopping = false
    var bad: OrderedReports = OrderedReports()
    /// More replicas were bad than are told one by one, and the coordinator does not know it yet. Not durable: a
    /// start finds them in quarantine.
    var lostTooMany = false
  }

  private let identity: StoreIdentity
  private let directory: DataDirectory
  private let state: NIOLockedValueBox<State>
  /// One at a time, so that an older mark never overwrites a newer one on disk.
  private let saving = NSLock()

  init(_ directory: DataDirectory) {
    self.directory = directory
    identity = directory.identity
    let seen = CoordinatorFence.Seen(
      cluster: identity.cluster, epoch: directory.mark.epoch, revision: directory.mark.revision)
    state = NIOLockedValueBox(State(epochs: GroupEpochs(directory.epochs), fence: CoordinatorFence(seen)))
  }

  var seen: CoordinatorFence.Seen { state.withLockedValue { $0.fence.seen } }

  // MARK: Asked by calls

  /// Throws `.unavailable` without a lease, `.stale` at an older epoch of the group.
  func admitWrite(to group: GroupID, at epoch: GroupEpoch, now: ContinuousClock.Instant) throws {
    try state.withLockedValue { state in
      guard !state.isStopping else {
        throw DFSError(.unavailable, "node \(identity.node) is stopping; write to another one")
      }
      guard state.seal != nil else {
        throw DFSError(
          .unavailable, "node \(identity.node) has not joined its cluster yet; write to another one")
      }
      guard state.lease.acceptsWrites(at: now) else {
        throw DFSError(
          .unavailable, "node \(identity.node) has lost contact with its coordinator and takes no new writes")
      }
      try state.epochs.admit(group, at: epoch)
    }
  }

  /// The proof that `chunk` is durable here.
  func receipt(for chunk: ChunkDescription, at epoch: GroupEpoch) throws -> WireReceipt {
    guard let seal = state.withLockedValue({ $0.seal }) else {
      throw DFSError(.unavailable, "node \(identity.node) has no key for receipts yet")
    }
    let content = ReceiptSeal(
      chunk: chunk.chunk, length: UInt32(chunk.length), root: chunk.root, group: chunk.group,
      groupEpoch: epoch,
      node: identity.node, store: identity.store)
    return .with {
      $0.node = identity.node.rawValue
      $0.store = identity.store.rawValue
      $0.groupEpoch = epoch.rawValue
      $0.mac = seal.code(for: content.bytes).wire
    }
  }

  /// Fences an order: only the coordinator that this node registered with is obeyed, at the epoch that it told and
  /// that is durable here. Throws `.stale` for an earlier one, and `.unavailable` for a later one, which is tried
  /// again once the node has registered there: an order alone proves nothing.
  func obey(_ epoch: Epoch) throws {
    try state.withLockedValue { state in
      guard try state.fence.admit(epoch: epoch, revision: nil) == nil, state.fence.seen.cluster != nil else {
        throw DFSError(
          .unavailable,
          "node \(identity.node) has not registered with the coordinator of epoch \(epoch) yet; try again",
          metadata: ["epoch": state.fence.seen.epoch.description])
      }
    }
  }

  /// As `obey(_:)`, for an order about a group. Its epoch is durable when this returns, and transfers at earlier ones are
  /// refused. Throws `.stale` when the group is further. Blocks.
  func obey(_ epoch: Epoch, in group: GroupID, at groupEpoch: GroupEpoch) throws {
    try checkOrder(epoch, in: group, at: groupEpoch)
    try raise([(group, groupEpoch)])
    try checkOrder(epoch, in: group, at: groupEpoch)
  }

  /// Throws when what was obeyed before is not to be obeyed any more.
  func checkOrder(_ epoch: Epoch, in group: GroupID, at groupEpoch: GroupEpoch) throws {
    try obey(epoch)
    try state.withLockedValue { try $0.epochs.admit(group, at: groupEpoch) }
  }

  // MARK: Told by the coordinator

  /// Takes the answer to a registration. Blocks.
  func registered(cluster: ClusterID, epoch: Epoch, revision: Revision, receiptKey: [UInt8]) throws {
    try adopt { try $0.admit(cluster: cluster, epoch: epoch, revision: revision) }
    state.withLockedValue { state in
      state.fence.observe(revision)
      state.seal = MessageAuthenticator(key: receiptKey)
    }
  }

  /// Takes what an answer to a heartbeat says of the cluster. Call it before `grant`: a write that the lease
  /// allows must meet the newest epochs. Blocks when something new must be made durable.
  func heard(epoch: Epoch, revision: Revision, groups: [(GroupID, GroupEpoch)]) throws {
    try adopt { try $0.admit(epoch: epoch, revision: revision) }
    try raise(groups)
    state.withLockedValue { $0.fence.observe(revision) }
  }

  func grant(_ lease: Duration, askedAt sent: ContinuousClock.Instant) {
    state.withLockedValue { $0.lease.grant(lease, askedAt: sent) }
  }

  private func raise(_ news: [(GroupID, GroupEpoch)]) throws {
    guard !news.isEmpty else { return }
    try saving.withLock {
      let rising = state.withLockedValue { $0.epochs.rising(news) }
      guard !rising.isEmpty else { return }
      try directory.raise(rising)
      state.withLockedValue { $0.epochs.raise(rising) }
    }
  }

  private func adopt(_ decide: (CoordinatorFence) throws -> CoordinatorFence.Seen?) throws {
    // Nearly every heartbeat brings nothing new and must not wait behind one that does.
    guard try decide(state.withLockedValue { $0.fence }) != nil else { return }
    try saving.withLock {
      guard let seen = try decide(state.withLockedValue { $0.fence }) else { return }
      if let cluster = seen.cluster { try directory.adopt(cluster) }
      try directory.raise(to: CoordinatorMark(epoch: seen.epoch, revision: seen.revision))
      state.withLockedValue { $0.fence.adopt(seen) }
    }
  }

  /// Makes the highest revision durable; called now and then and at the stop. Blocks.
  func saveRevision() throws {
    try saving.withLock {
      let seen = state.withLockedValue { $0.fence.seen }
      try directory.raise(to: CoordinatorMark(epoch: seen.epoch, revision: seen.revision))
    }
  }

  /// More replicas are bad than are told one by one: a registration tells it as a whole.
  var hasTooManyReports: Bool { state.withLockedValue { $0.bad.hasOverflowed } }

  /// Whether chunks were lost as a whole, and the coordinator may not know it yet; asked before a registration. Too
  /// many reports become this one, so no heartbeat may be under way.
  func tellLostChunks() -> Bool {
    let lostTooMany = state.withLockedValue { state in
      if state.bad.hasOverflowed {
        state.bad = OrderedReports()
        state.lostTooMany = true
      }
      return state.lostTooMany
    }
    return lostTooMany || directory.hasLostChunks
  }

  /// The coordinator knows. Blocks.
  func forgetLostChunks() throws {
    try directory.forgetLostChunks()
    state.withLockedValue { $0.lostTooMany = false }
  }

  /// No write is admitted from now on.
  func stop() { state.withLockedValue { $0.isStopping = true } }
  var isStopping: Bool { state.withLockedValue { $0.isStopping } }

  // MARK: Bad replicas

  /// Remembers a bad replica for the next heartbeat.
  func report(_ chunk: ChunkID, in group: GroupID, _ fault: WireReplicaFault = .corrupt) {
    state.withLockedValue { $0.bad.add(chunk, in: group, fault) }
  }

  /// What the next heartbeat tells; told again until `reported` says that it was answered.
  func pendingReports() -> [WireReplicaReport] {
    state.withLockedValue { $0.bad.first(1000) }.map { chunk, group, fault in
      .with {
        $0.chunk = WireChunkId(chunk)
        $0.group = group.rawValue
        $0.node = identity.node.rawValue
        $0.fault = fault
      }
    }
  }

  func reported(_ count: Int) { state.withLockedValue { $0.bad.removeFirst(count) } }
}

/// Bad replicas in order of discovery, each once, at most `limit`: a disk that loses more is reported as a whole.
struct OrderedReports {
  private let limit: Int
  private var queue: Deque<(ChunkID, GroupID, WireReplicaFault)> = []
  private var known: Set<ChunkID> = []
  /// Whether one found no room.
  private(set) var hasOverflowed = false

  init(limit: Int = 100_000) { self.limit = limit }

  mutating func add(_ chunk: ChunkID, in group: GroupID, _ fault: WireReplicaFault = .corrupt) {
    guard !known.contains(chunk) else { return }
    guard queue.count < limit else { return hasOverflowed = true }
    known.insert(chunk)
    queue.append((chunk, group, fault))
  }

  func first(_ count: Int) -> [(ChunkID, GroupID, WireReplicaFault)] { Array(queue.prefix(count)) }

  mutating func removeFirst(_ count: Int) {
    for (chunk, _, _) in queue.prefix(count) { known.remove(chunk) }
    queue.removeFirst(min(count, queue.count))
  }
}
