import DFSCore
import DFSMetadata
import DFSRPC
import DFSWire
import Synchronization

extension CoordinatorService {
  /// Serves one node's stream until it ends: each report is answered with a lease. A stream that breaks says
  /// nothing, unless a cluster gives its nodes no time at all; the node's silence does.
  func heartbeat(
    _ reader: MessageReader<WireHeartbeatRequest>, _ writer: MessageWriter<WireHeartbeatResponse>
  ) async throws {
    var bound: (node: UInt64, boot: UInt64)?
    var seen: UInt64 = 0
    defer {
      if let bound {
        cluster.withState { $0.membership.streamEnded(of: NodeID(rawValue: bound.node), now: now()) }
      }
    }
    while let request = try await reader.next() {
      if let bound, bound != (request.node, request.boot) {
        throw DFSError(.invalidArgument, "a heartbeat stream belongs to one boot of one node")
      }
      let report = try NodeReport(request)
      if bound == nil { cluster.withState { $0.membership.streamBegan(of: report.node) } }
      bound = (request.node, request.boot)
      try check(request.badReplicas.count, atMost: 1000, "bad replicas")
      let (transitions, changed) = try cluster.withState { state in
        let transitions = try state.membership.heartbeat(report, now: self.now())
        return (transitions, state.table.changes(of: report.node, since: seen, limit: 10_000))
      }
      seen = changed.version
      log(transitions)
      try await note(request.badReplicas, of: report.node)

      var response = WireHeartbeatResponse()
      response.sequence = request.sequence
      response.epoch = WireEpoch(namespace.epoch)
      response.revision = namespace.revision.rawValue
      response.leaseMs = UInt64(configuration.membership.lease.milliseconds)
      response.groupEpochs = changed.groups.map { row in
        var epochs = WireGroupEpochs()
        epochs.group = row.id.rawValue
        epochs.epoch = row.epoch.rawValue
        return epochs
      }
      try await writer.write(response)
      if isDraining.load(ordering: .relaxed) { return }
    }
  }

  /// A node's own finding is believed: it has quarantined the replica already. Durable when it returns, for
  /// the node tells it only until it is answered.
  private func note(_ wire: [WireReplicaReport], of node: NodeID) async throws {
    // One that the node can not move aside is told each time that somebody asks for it. Its slot is not full since the
    // first time, and marking it again would only have repair begin anew.
    let found = wire.compactMap { try? ReplicaReport($0) }.filter { $0.node == node && !reports.isKnown($0) }
    guard !found.isEmpty else { return }
    let bad = found.filter { $0.fault == .corrupt }
    let missing = found.filter { $0.fault != .corrupt }
    try await groups.markBehind(
      node, bad.map(\.group), .bad, because: "\(bad.count) replicas that it found bad")
    try await groups.markBehind(
      node, missing.map(\.group), .lost, because: "\(missing.count) replicas that it found missing")
    let news = found.filter { reports.confirm($0) }
    for report in news {
      logger.warning(
        "bad replica", metadata: ["chunk": "\(report.chunk)", "group": "\(report.group)", "node": "\(node)"])
    }
    // What is missing is told anew by every start of a node, and says nothing new about its disk.
    let corrupt = news.count { $0.fault == .corrupt }
    if cluster.foundBad(corrupt, of: node, now: now()) { logger.suspect(node) }
  }

  func log(_ transitions: [Transition]) {
    for transition in transitions {
      logger.notice(
        "node changed",
        metadata: ["node": "\(transition.node)", "was": "\(transition.from)", "is": "\(transition.to)"])
    }
  }
}

extension NodeReport {
  fileprivate init(_ wire: WireHeartbeatRequest) throws {
    guard wire.reason.utf8.count <= 1000 else {
      throw DFSError(.invalidArgument, "a node's reason has at most 1000 bytes")
    }
    self.init(
      node: NodeID(rawValue: wire.node), boot: BootID(rawValue: wire.boot),
      capacity: try byteCount(wire.capacityBytes), free: try byteCount(wire.freeBytes),
      stored: try byteCount(wire.storedBytes), chunks: wire.chunks, isWritable: wire.writable,
      reason: wire.reason, isStopping: wire.stopping)
    quarantined = wire.quarantined
    guard wire.hasScrub else { return }
    scrub = Scrub(
      sinceLastPass: wire.scrub.hasEndedMs ? .milliseconds(Int64(clamping: wire.scrub.endedMs)) : nil,
      done: wire.scrub.done, total: wire.scrub.total)
  }
}
