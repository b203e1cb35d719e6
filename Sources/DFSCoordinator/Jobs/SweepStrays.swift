package import DFSCore
package import DFSJobs
package import DFSMetadata
import DFSObservability
package import DFSTransport
package import Logging
import Metrics
import Synchronization

/// Asks every node in contact which groups it has chunks of, and deals with those of groups that it is no
/// member of: dead ones are condemned, living ones are removed once every member has shown a verified copy.
///
/// A step asks one node for its groups, or deals with at most 256 strays of one group on one node.
package struct SweepStrays: Job {
  package let name = "sweep_strays"
  package let what = "Removes copies from nodes that are no longer members of their groups."

  private final class Walk: Sendable {
    let state: Mutex<StrayWalk>
    init(_ walk: StrayWalk) { state = Mutex(walk) }
  }

  private let namespace: Namespace
  private let cluster: Cluster
  private let groups: GroupKeeper
  private let inventories: NodeInventories
  private let orders: ReapOrders
  private let disk: BlockingThreads
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant
  private let walk: Walk

  package init(
    namespace: Namespace, cluster: Cluster, groups: GroupKeeper, channels: NodeChannels,
    disk: BlockingThreads, period: Duration, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.groups = groups
    inventories = NodeInventories(epoch: namespace.epoch, channels: channels)
    orders = ReapOrders(epoch: namespace.epoch, channels: channels)
    self.disk = disk
    self.logger = logger
    self.now = now
    walk = Walk(StrayWalk(period: period, startedAt: now()))
  }

  package var progress: JobProgress? {
    guard let left = walk.state.withLock({ $0.nodesLeft }) else { return nil }
    let total = cluster.withState { $0.membership.present.count(where: \.isInContact) }
    return JobProgress(done: UInt64(max(0, total - left)), total: UInt64(total), unit: "nodes")
  }

  package func beginPass() { walk.state.withLock { $0.hurry() } }

  package func step() async throws -> Pace {
    let (next, ended) = walk.state.withLock { walk in
      let passes = walk.passes
      let next = walk.next(now: now()) {
        cluster.withState { $0.membership.present.filter(\.isInContact).map(\.id) }
      }
      return (next, walk.passes > passes ? walk.last : nil)
    }
    if let ended { report(ended) }
    switch next {
    case .wait(let pause): return .after(pause)
    case .groups(let node, let after): await list(node, after: after)
    case .page(let node, let group, let after): await look(at: node, group, after: after)
    }
    let pause = walk.state.withLock { $0.pause }
    return pause > .zero ? .after(pause) : .atOnce
  }

  private func report(_ result: StrayWalk.Result) {
    cluster.withState { $0.checks.ended(result) }
    guard result.strays > 0 else { return }
    logger.info(
      "copies were found on nodes that are no members",
      metadata: [
        "strays": "\(result.strays)", "removed": "\(result.removed)", "orphans": "\(result.orphans)",
        "contradicting": "\(result.contradicting)",
      ])
  }

  private func list(_ node: NodeID, after: GroupID?) async {
    do {
      let (groups, more) = try await inventories.groups(on: node, after: after)
      // An heir is given copies before it becomes the member: they are no strays.
      let foreign = cluster.withState { state in
        let own = state.table.groups(of: node)
        return groups.filter { !own.contains($0) && state.heirs[$0] != node }
      }
      walk.state.withLock { $0.listed(foreign, last: groups.last, more: more) }
    } catch {
      logger.debug("a node does not tell its groups", metadata: ["node": "\(node)", "error": "\(error)"])
      walk.state.withLock { $0.leaveNode() }
    }
  }

  private func look(at node: NodeID, _ group: GroupID, after: ChunkID?) async {
    do {
      guard let (end, findings) = try await deal(with: node, group, after: after) else {
        return walk.state.withLock { $0.leaveGroup() }
      }
      walk.state.withLock { $0.looked(to: end, findings) }
    } catch {
      logger.debug(
        "strays can not be dealt with now",
        metadata: ["node": "\(node)", "group": "\(group)", "error": "\(error)"])
      walk.state.withLock { $0.leaveGroup() }
    }
  }
}

// One page of strays.
extension SweepStrays {
  /// Gives the end of the page, `nil` for the last one, and what was found. `nil` when there is nothing to
  /// deal with: the node is a member after all.
  private func deal(
    with node: NodeID, _ group: GroupID, after: ChunkID?
  ) async throws -> (end: ChunkID?, StrayPlan.Findings)? {
    let (known, heir) = cluster.withState { ($0.table[group], $0.heirs[group]) }
    guard known?.members.contains(node) != true, heir != node else { return nil }
    // At the row's epoch, so that the node refuses transfers that began when it was a member.
    let page = try await inventories.page(
      of: group, at: known?.epoch, on: node, after: after,
      limit: NodeInventories.largestVerifiedPage)
    let end = page.more ? page.entries.last?.chunk : nil
    let (row, liveness) = try await ask(page.entries.map(\.chunk), group)
    guard row?.members.contains(node) != true else { return nil }
    var plan = StrayPlan(
      node: node, row: row, page: page.entries, liveness: liveness, isInContact: { isInContact($0) })
    try await verify(&plan)
    let (rowNow, livenessNow) = try await ask(plan.candidates.map(\.chunk), group)
    let findings = plan.findings(now: rowNow, liveness: livenessNow, isInContact: { isInContact($0) })
    try await act(on: findings, of: group, on: node, row: rowNow)
    return (end, findings)
  }

  private func isInContact(_ node: NodeID) -> Bool { cluster.member(node)?.isInContact == true }

  /// What the metadata says now of the group and of chunks that were found in it.
  private func ask(_ chunks: [ChunkID], _ group: GroupID) async throws -> (PlacementGroup?, [ChunkLiveness]) {
    let namespace = namespace
    return try await disk.run {
      let view = try namespace.view()
      return (try view.group(group), try view.liveness(of: chunks, in: group))
    }
  }

  /// Has every member read its copies of the candidates.
  private func verify(_ plan: inout StrayPlan) async throws {
    guard let row = plan.row, !namespace.isHeld else { return }
    let wanted = plan.candidates
    let copies = try await withThrowingTaskGroup(of: (NodeID, [InventoryEntry]).self) { group in
      for member in plan.members {
        group.addTask { (member, try await self.copies(of: wanted, on: member, row)) }
      }
      return try await group.reduce(into: [(NodeID, [InventoryEntry])]()) { $0.append($1) }
    }
    for (member, entries) in copies { plan.verified(entries, by: member) }
  }

  /// The verified copies of `wanted` on a member. Asks for runs where the wanted ones follow each other in
  /// its inventory, and singly where they do not: what lies between them is not to be read.
  private func copies(
    of wanted: [InventoryEntry], on member: NodeID, _ row: PlacementGroup
  ) async throws -> [InventoryEntry] {
    var found: [InventoryEntry] = []
    var (rest, limit) = (wanted[...], 1)
    while let first = rest.first {
      let page = try await inventories.page(
        of: row.id, at: row.epoch, on: member, after: first.chunk.predecessor, limit: min(limit, rest.count),
        depth: .verified)
      let reach = page.more ? page.entries.last?.chunk : nil
      let part = rest.prefix { wanted in reach.map { wanted.chunk <= $0 } ?? true }
      let chunks = Set(part.map(\.chunk))
      let hits = page.entries.filter { chunks.contains($0.chunk) }
      found += hits
      rest = rest.dropFirst(part.count)
      limit = hits.count == page.entries.count ? min(limit * 2, 64) : 1
    }
    return found
  }

  private func act(
    on findings: StrayPlan.Findings, of group: GroupID, on node: NodeID, row: PlacementGroup?
  ) async throws {
    for (member, chunks) in findings.lacking.sorted(by: { $0.key < $1.key }) {
      try await groups.markBehind(
        member, [group], because: "node \(node), no member any more, has \(chunks.count) chunks that it lacks"
      )
    }
    if let first = findings.contradicting.first {
      logger.error(
        "a former member's copy is not what the members have: it is kept",
        metadata: [
          "node": "\(node)", "group": "\(group)", "chunks": "\(findings.contradicting.count)",
          "first": "\(first)",
        ])
    }
    guard !namespace.isHeld else { return }
    if !findings.orphans.isEmpty {
      try await namespace.condemn(findings.orphans, of: group, holders: [node], logger)
    }
    if !findings.surplus.isEmpty, let row { try await remove(findings.surplus, from: node, row) }
  }

  /// Removes copies from a node that is no member. It refuses when it has become one; should it become one at
  /// this very moment, what it was seen to have proves nothing.
  private func remove(_ chunks: [ChunkID], from node: NodeID, _ row: PlacementGroup) async throws {
    let runs = ReapPlan.runs(of: chunks.map { CondemnedChunk(group: row.id, chunk: $0) })
    let result: Result<UInt64, any Error>
    do {
      result = .success(try await orders.send(runs, to: node, groupEpoch: row.epoch))
    } catch { result = .failure(error) }
    let (rowNow, _) = try await ask([], row.id)
    if rowNow?.members.contains(node) == true {
      try await groups.markBehind(node, [row.id], because: "copies were removed as it became a member")
    }
    let bytes = try result.get()
    Counter(label: MetricNames.coordinatorStraysRemovedTotal).increment(by: chunks.count)
    logger.info(
      "surplus copies were removed",
      metadata: ["node": "\(node)", "group": "\(row.id)", "chunks": "\(chunks.count)", "bytes": "\(bytes)"])
  }
}

extension ChunkID {
  /// The id before it in the order of ids; `nil` for the first of all.
  var predecessor: ChunkID? {
    if index > 0 { return ChunkID(inode: inode, index: index - 1) }
    guard inode.rawValue > 0 else { return nil }
    return ChunkID(inode: InodeID(rawValue: inode.rawValue - 1), index: .max)
  }
}
