import DFSCore
import DFSCrypto
import DFSMetadata
import DFSWire

@testable import DFSCoordinator
@testable import DFSDataNode

/// A running datanode: the product's fence, group epochs and lease over a disk of the world.
final class NodeProcess {
  let machine: Machine
  let disk: Disk
  let boot: BootID
  unowned let world: World
  private(set) var fence: CoordinatorFence
  private(set) var epochs: GroupEpochs
  private(set) var lease = LeaseGuard()
  private var seal: MessageAuthenticator?
  /// The heartbeat stream: with whom, and the version of the table that the answers have come to.
  private(set) var stream: Stream?
  /// Bad replicas that the next heartbeat tells.
  private var findings: [ChunkID: GroupID] = [:]
  var isStopping = false
  /// Registrations follow one another, and the answers of a stream come in order.
  private var isAsking = false
  private var lastRefusal = ""

  final class Stream {
    let coordinator: CoordinatorProcess
    var seen: UInt64 = 0
    init(with coordinator: CoordinatorProcess) { self.coordinator = coordinator }
  }

  init(on machine: Machine, _ disk: Disk, boot: BootID, in world: World) {
    self.machine = machine
    self.disk = disk
    self.boot = boot
    self.world = world
    fence = CoordinatorFence(
      CoordinatorFence.Seen(cluster: disk.cluster, epoch: disk.epoch, revision: disk.revision))
    epochs = GroupEpochs(disk.epochs)
  }

  var isRunning: Bool { machine.process === self }
  var node: NodeID { disk.node }
  /// By the machine's own clock.
  var instant: ContinuousClock.Instant { world.instant.advanced(by: machine.skew.duration) }

  // MARK: Asked by calls

  func checkAddressee(_ node: NodeID) throws {
    guard node == disk.node else { throw DFSError(.stale, "this is node \(disk.node), not \(node)") }
  }

  func admitWrite(to group: GroupID, at epoch: GroupEpoch) throws {
    if world.scenario.pace == .sparse { world.contactNow(self) }
    guard !isStopping, seal != nil, lease.acceptsWrites(at: instant) else {
      throw DFSError(.unavailable, "node \(disk.node) takes no writes")
    }
    try epochs.admit(group, at: epoch)
  }

  /// The proof that a chunk is durable here.
  func receipt(
    for chunk: ChunkID, _ replica: Replica, in group: GroupID, at epoch: GroupEpoch
  ) -> ReceivedReceipt? {
    guard let seal else { return nil }
    let content = ReceiptSeal(
      chunk: chunk, length: replica.length, root: replica.root, group: group, groupEpoch: epoch,
      node: disk.node, store: disk.store)
    return ReceivedReceipt(
      node: disk.node, store: disk.store, groupEpoch: epoch, mac: seal.code(for: content.bytes))
  }

  /// Fences an order: only the coordinator with which this node has registered is obeyed.
  func obey(_ epoch: Epoch) throws {
    guard try fence.admit(epoch: epoch, revision: nil) == nil, fence.seen.cluster != nil else {
      throw DFSError(.unavailable, "node \(node) has not registered with the coordinator of epoch \(epoch)")
    }
    world.tell(.orderObeyed(epoch, disk.node, disk.store))
  }

  /// As above, for an order about a group, whose epoch is durable when this returns.
  func obey(_ epoch: Epoch, in group: GroupID, at groupEpoch: GroupEpoch) throws {
    try obey(epoch)
    try epochs.admit(group, at: groupEpoch)
    raise([(group, groupEpoch)])
  }

  private func raise(_ news: [(GroupID, GroupEpoch)]) {
    let rising = epochs.rising(news)
    guard !rising.isEmpty else { return }
    disk.epochs.merge(rising) { $1 }
    epochs.raise(rising)
  }

  private func adopt(_ decide: (CoordinatorFence) throws -> CoordinatorFence.Seen?) throws {
    guard let seen = try decide(fence) else { return }
    (disk.cluster, disk.epoch, disk.revision) = (seen.cluster, seen.epoch, seen.revision)
    if let cluster = seen.cluster { disk.shelf?.adopt(cluster) }
    fence.adopt(seen)
  }

  /// A replica whose bytes are not those of its hashes: moved aside, and told to the coordinator.
  func quarantine(_ chunk: ChunkID, in group: GroupID) {
    guard let replica = try? disk.remove(chunk, in: group, aside: true) else { return }
    world.note("m\(machine.number) moves the bad replica of \(chunk) aside")
    world.tell(.replicaRemoved(chunk, group, disk.node, .quarantine, wasGood: replica.isGood))
    found(chunk, in: group)
  }

  /// The next heartbeat tells that a replica is bad, or gone.
  func found(_ chunk: ChunkID, in group: GroupID) {
    findings[chunk] = group
    world.hasNews(node)
  }

  // MARK: The link to the coordinator

  func begin() {
    switch world.scenario.pace {
    case .dense: world.schedule(after: world.span(.milliseconds(1), .seconds(1))) { [self] in beat() }
    case .sparse: world.heardAgain(machine)
    }
  }

  private static let interval = Span.seconds(2)

  private func beat() {
    guard isRunning else { return }
    if let end = machine.pausedUntil, end > world.now {
      return world.schedule(at: end) { [self] in beat() }
    }
    let delay: Span
    if let stream, stream.coordinator.isRunning {
      heartbeat(on: stream)
      delay = Self.interval
    } else {
      stream = nil
      register()
      delay = world.span(.milliseconds(500), .seconds(3))
    }
    world.schedule(after: delay) { [self] in beat() }
  }

  var registration: Registration {
    Registration(
      node: disk.node, store: disk.store, boot: boot, cluster: fence.seen.cluster, address: machine.endpoint,
      zone: machine.zone, capacity: world.scenario.capacity, highestEpoch: fence.seen.epoch,
      highestRevision: fence.seen.revision, disk: "m\(machine.number)")
  }

  private func register() {
    guard !isAsking, let coordinator = world.coordinatorFound(by: machine.host) else { return }
    isAsking = true
    let (registration, lostChunks) = (registration, disk.hasLostChunks)
    world.call(from: machine.host, to: coordinator.host, timeout: .seconds(5)) { answer in
      answer(coordinator.answer { try coordinator.register(registration, lostChunks: lostChunks) })
    } then: { [self] (result: Result<CoordinatorProcess.Terms, DFSError>) in
      isAsking = false
      guard isRunning else { return }
      switch result {
      case .success(let terms): registered(terms, with: coordinator)
      case .failure(let error):
        if "\(error)" != lastRefusal { world.note("m\(machine.number) is refused: \(error)") }
        lastRefusal = "\(error)"
        world.tell(.registrationRefused(error, machine.number))
      }
    }
  }

  func registered(_ terms: CoordinatorProcess.Terms, with coordinator: CoordinatorProcess) {
    do {
      try adopt { try $0.admit(cluster: terms.cluster, epoch: terms.epoch, revision: terms.revision) }
    } catch {
      world.note("m\(machine.number) refuses coordinator \(coordinator.number): \(error)")
      return
    }
    fence.observe(terms.revision)
    disk.toldLostChunks()
    seal = MessageAuthenticator(key: terms.receiptKey)
    stream = Stream(with: coordinator)
  }

  var report: NodeReport {
    NodeReport(
      node: disk.node, boot: boot, capacity: world.scenario.capacity, free: world.free(on: disk), chunks: 0,
      isWritable: !isStopping, isStopping: isStopping)
  }

  private func heartbeat(on stream: Stream) {
    guard !isAsking else { return }
    isAsking = true
    let (sent, report, findings) = (instant, report, findings)
    let coordinator = stream.coordinator
    world.call(from: machine.host, to: coordinator.host, timeout: .seconds(4)) { answer in
      answer(coordinator.answer { try coordinator.heartbeat(report, findings, on: stream) })
    } then: { [self] (result: Result<CoordinatorProcess.Grant, DFSError>) in
      isAsking = false
      guard isRunning, self.stream === stream else { return }
      switch result {
      case .success(let grant): heard(grant, askedAt: sent, told: findings)
      // A stream that breaks begins anew, with a registration.
      case .failure: self.stream = nil
      }
    }
  }

  func heard(
    _ grant: CoordinatorProcess.Grant, askedAt sent: ContinuousClock.Instant, told: [ChunkID: GroupID]
  ) {
    do { try adopt { try $0.admit(epoch: grant.epoch, revision: grant.revision) } } catch {
      stream = nil
      return
    }
    raise(grant.groups)
    fence.observe(grant.revision)
    if world.chance(20) { disk.revision = fence.seen.revision }
    lease.grant(grant.lease, askedAt: sent)
    for chunk in told.keys { findings[chunk] = nil }
  }

  /// What `contactNow` tells.
  var openFindings: [ChunkID: GroupID] { findings }
  func endStream() { stream = nil }
}
