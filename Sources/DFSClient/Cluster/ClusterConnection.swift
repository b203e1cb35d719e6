import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging
import NIOConcurrencyHelpers

/// What all operations of one client share: channels, threads, and what was learned about the cluster.
final class ClusterConnection: Sendable {
  /// Everything that is learned in passing. Small and quickly changed, so a lock guards it.
  struct Knowledge: Sendable {
    var map = ClusterMap()
    var health = PeerHealth()
    var requestIDs = RequestIDs()
    var hedges = HedgeBudget()
    /// Largest content that the coordinator takes into an inode.
    var inlineLimit = 4096
    /// A coordinator has answered at least once.
    var wasReached = false
  }

  let configuration: ClientConfiguration
  let coordinators: [Endpoint]
  let loops: NetworkLoops
  /// Reads, writes and hashes of local files.
  let threads: BlockingThreads
  let logger: Logger
  let metrics = ClientMetrics()
  private let coordinator: RPCChannel
  private let nodes: NodeChannels
  private let knowledge = NIOLockedValueBox(Knowledge())

  init(coordinators: [Endpoint], configuration: ClientConfiguration) throws {
    self.coordinators = coordinators
    self.configuration = configuration
    logger = Logger(label: "dfs.client")
    let cores = ProcessInfo.processInfo.activeProcessorCount
    loops = NetworkLoops(count: min(4, cores), receiveBudget: min(.mib(64), configuration.memoryBudget))
    threads = BlockingThreads(count: max(2, min(8, cores + 1)), name: "dfs-client")
    let channel = try ChannelSettings(configuration)
    coordinator = RPCChannel(
      endpoints: coordinators, configuration: channel.toCoordinator, loops: loops, logger: logger)
    nodes = NodeChannels(configuration: channel.toNodes, loops: loops, logger: logger)
  }

  func close() async {
    await coordinator.close()
    await nodes.close()
    threads.shutdown()
    await loops.shutdown()
  }

  // MARK: What is known

  func withKnowledge<Result>(_ body: (inout Knowledge) throws -> Result) rethrows -> Result {
    try knowledge.withLockedValue(body)
  }

  func saw(revision: UInt64) {
    knowledge.withLockedValue { $0.requestIDs.saw(Revision(rawValue: revision), now: .now) }
  }

  func learn(groups: [WireGroup], nodes: [WireNodeAddress]) {
    knowledge.withLockedValue { known in
      known.map.learn(groups.map { GroupRow($0) })
      for node in nodes {
        guard let address = try? Endpoint(node.address) else { continue }
        known.map.learn(node: NodeID(rawValue: node.node), address: address, zone: node.zone)
      }
    }
  }

  func newRequestID() -> RequestID {
    var generator = SystemRandom()
    return knowledge.withLockedValue { $0.requestIDs.next(using: &generator) }
  }

  func row(of group: GroupID) -> GroupRow? { knowledge.withLockedValue { $0.map.groups[group] } }

  func canWrite(_ group: GroupID) -> Bool {
    let now = ContinuousClock.now
    return knowledge.withLockedValue { known in
      // An unknown group is fetched when it is used; nothing speaks against it.
      known.map.groups[group]?.canWrite(health: known.health, now: now) ?? true
    }
  }

  func note(_ node: NodeID, _ purpose: PeerHealth.Purpose, succeeded: Bool) {
    let now = ContinuousClock.now
    knowledge.withLockedValue { known in
      if succeeded {
        known.health.succeeded(node, purpose)
      } else {
        known.health.failed(node, purpose, now: now)
      }
    }
  }

  /// The channel to a datanode. Throws `.unavailable` when its address is not known.
  func channel(to node: NodeID) throws -> RPCChannel {
    guard let address = knowledge.withLockedValue({ $0.map.addresses[node] }) else {
      throw DFSError(.unavailable, "the address of datanode \(node) is not known")
    }
    return nodes.channel(to: address)
  }

  /// Reads the group's row again from the coordinator.
  func refresh(_ group: GroupID) async throws -> GroupRow {
    var request = WireGetGroupsRequest()
    request.groups = [group.rawValue]
    let answer = try await read(CoordinatorMethods.getGroups, request)
    learn(groups: answer.groups, nodes: answer.nodes)
    guard let row = row(of: group) else {
      throw DFSError(
        .notFound, "the coordinator knows no group \(group)", metadata: ["group": group.description])
    }
    return row
  }

  /// Tells the coordinator of replicas that were bad. A hint: it is sent once, nobody waits long for it, and
  /// whoever reads next finds the same.
  func report(_ faults: [WireReplicaReport]) async {
    var request = WireReportReplicasRequest()
    request.reports = Array(faults.prefix(1000))
    let options = CallOptions(timeout: .seconds(1), metadata: OperationTrace.metadata)
    do {
      _ = try await coordinator.call(CoordinatorMethods.reportReplicas, request, options: options)
    } catch {
      logger.debug("bad replicas could not be reported", metadata: ["error": "\(error)"])
    }
  }

  // MARK: Calls to the coordinator

  /// A call that changes nothing: repeated until it is answered or patience ends.
  /// `attempt` is how long one of them may take.
  func read<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, attempt: Duration = attemptTimeout
  ) async throws -> Response {
    try await persist(.read, attempt: attempt) { [coordinator] options in
      try await coordinator.call(method, request, options: options)
    }
  }

  /// A call that changes something. `request` gets an id that stays the same however often it is sent.
  /// `shortage` is how long it goes on while too few datanodes are there for it.
  func mutate<Request, Response>(
    _ method: UnaryMethod<Request, Response>, as kind: CoordinatorRetry.Kind = .mutation,
    patience: Duration? = nil, shortage: Duration? = nil, _ request: (WireRequestId) -> Request
  ) async throws -> Response {
    try await freshenRevision()
    let message = request(WireRequestId(newRequestID()))
    return try await persist(kind, patience, shortage) { [coordinator] options in
      try await coordinator.call(method, message, options: options)
    }
  }

  /// Sees the present revision when the last one is too old for a new request id.
  private func freshenRevision() async throws {
    guard knowledge.withLockedValue({ !$0.requestIDs.isFresh(now: .now) }) else { return }
    var request = WireStatRequest()
    request.path = "/"
    saw(revision: try await read(CoordinatorMethods.stat, request).revision)
  }

  /// One attempt may take so long; a lost packet is noticed earlier by the connection.
  static let attemptTimeout: Duration = .seconds(15)

  private func persist<Response>(
    _ kind: CoordinatorRetry.Kind, _ limit: Duration? = nil, _ shortage: Duration? = nil,
    attempt timeout: Duration = attemptTimeout, _ attempt: (CallOptions) async throws -> Response
  ) async throws -> Response {
    let wasReached = knowledge.withLockedValue { $0.wasReached }
    let patience = limit ?? (wasReached ? configuration.patience : configuration.connectTimeout)
    var retry = CoordinatorRetry(
      kind, started: .now, patience: patience, shortage: shortage ?? configuration.shortagePatience)
    while true {
      do {
        let options = CallOptions(timeout: timeout, metadata: OperationTrace.metadata)
        let answer = try await attempt(options)
        if !wasReached { knowledge.withLockedValue { $0.wasReached = true } }
        return answer
      } catch {
        let failure = DFSError(wrapping: error, "the call to the coordinator failed")
        try Task.checkCancellation()
        switch retry.decide(after: failure, now: .now, chance: Double.random(in: 0...1)) {
        case .fail(let error): throw explain(error, wasReached ? patience : nil)
        case .retry(let pause): try await Task.sleep(for: pause)
        }
      }
    }
  }

  /// `waited` is how long a coordinator that had answered before was waited for.
  private func explain(_ error: DFSError, _ waited: Duration?) -> DFSError {
    let places = coordinators.map(\.description).joined(separator: ", ")
    if error.code == .unimplemented {
      return DFSError(
        .unimplemented, "what answers at \(places) is no coordinator, or one of another version", cause: error
      )
    }
    // What has no cause here was said by a coordinator that does answer.
    guard [.unavailable, .deadlineExceeded].contains(error.code), error.cause != nil, error.metadata.isEmpty
    else { return error }
    if let waited {
      return DFSError(
        .unavailable,
        "the coordinator at \(places) went away and was not back within \(waited.formatted); see whether it runs, "
          + "and what its log says")
    }
    return DFSError(
      .unavailable,
      "no coordinator answers at \(places); start a cluster with \"dfsd up\", or say where it is with --coordinators "
        + "or DFS_COORDINATORS")
  }
}

extension Duration {
  /// In whole seconds, or in milliseconds below one.
  var formatted: String {
    self < .seconds(1) ? "\(components.attoseconds / 1_000_000_000_000_000) ms" : "\(components.seconds) s"
  }
}

extension GroupRow {
  init(_ wire: WireGroup) {
    self.init(
      id: GroupID(rawValue: wire.id), epoch: GroupEpoch(rawValue: wire.epoch), replicas: Int(wire.replicas),
      members: wire.slots.compactMap { slot in
        let state: ChunkLocation.Replica.State
        switch slot.state {
        case .full: state = .full
        case .filling: state = .filling
        case .behind: state = .behind
        case .vacant, .unspecified, .UNRECOGNIZED: return nil
        }
        return Member(node: NodeID(rawValue: slot.node), state: state, isReachable: slot.reachable)
      })
  }
}
