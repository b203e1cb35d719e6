import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func listNodes(_ request: WireListNodesRequest) throws -> WireListNodesResponse {
    let (limit, time) = (1000, now())
    return cluster.withState { state in
      let members = state.membership.members.values
        .filter { $0.id.rawValue >= request.fromNode }.sorted { $0.id < $1.id }
      var response = WireListNodesResponse()
      response.nodes = members.prefix(limit).map {
        WireNode($0, in: state, now: time)
      }
      if members.count > limit { response.nextNode = members[limit].id.rawValue }
      return response
    }
  }
}

extension WireNode {
  init(_ member: Member, in cluster: Cluster.State, now: ContinuousClock.Instant) {
    self.init()
    address = WireNodeAddress(member.record)
    store = member.record.store.rawValue
    state = WireNodeState(member)
    capacityBytes = UInt64(member.record.capacity.rawValue)
    freeBytes = UInt64(member.report?.free.rawValue ?? 0)
    storedBytes = UInt64(member.report?.stored.rawValue ?? 0)
    chunks = member.report?.chunks ?? 0
    slots = UInt32(clamping: cluster.table.slotCount(of: member.id))
    writable = member.isWritable
    reason = member.report?.reason ?? ""
    lastContactMs = UInt64(max(0, (now - member.lastContact).milliseconds))
    version = member.version
    quarantined = member.report?.quarantined ?? 0
    if let scrub = member.report?.scrub {
      if let since = scrub.sinceLastPass { scrubEndedMs = UInt64(max(0, since.milliseconds)) }
      scrubPermille = UInt32(scrub.permille)
    }
    suspect = member.record.isSuspect
    if member.record.state == .draining, !cluster.canDoWithout(member.id) {
      // A node that has none may still have slots, and one that has no slots chunks that its successors lack.
      drainSlotsLeft = max(1, chunks)
    }
  }
}

extension WireNodeState {
  /// What an operator decided comes before what contact says, as long as there is contact.
  init(_ member: Member) {
    switch (member.record.state, member.life) {
    case (.removed, _): self = .removed
    case (_, .out), (.out, _): self = .out
    case (.maintenance, _): self = .maintenance
    case (_, .down): self = .down
    case (.draining, .up): self = .draining
    case (.active, .up): self = .up
    }
  }
}

extension NodeReport.Scrub {
  /// The part of the present pass that is done, in thousandths; all of it where there is nothing.
  var permille: UInt64 { total == 0 ? 1000 : min(total, done) * 1000 / total }
}

extension Cluster.State {
  /// Whether the node could be removed now without force.
  func canDoWithout(_ node: NodeID) -> Bool {
    (try? membership.record(after: .remove(.ifSafe), of: node, table: table, losses: losses)) != nil
  }
}
