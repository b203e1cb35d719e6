import DFSCore
import DFSMetadata
import DFSRPC
import DFSTransport
import DFSWire
import Logging
import Synchronization

/// Carries out the reconciliation of one group, a page at a time: takes inventories of its members, looks at
/// the metadata afterwards, orders the copies that `ReconcilePage` wants, and makes members full when
/// `ReconcilePass` says so. What it must know after a crash is in the slots alone.
struct GroupReconciler: Sendable {
  private static let copyTimeout = Duration.seconds(600)
  /// For one chunk of them: the largest in two minutes is half a megabyte a second.
  private static let copyPatience = Duration.seconds(120)

  let namespace: Namespace
  let cluster: Cluster
  let groups: GroupKeeper
  let channels: NodeChannels
  let inventories: NodeInventories
  let reports: ReplicaReports
  let formers: FormerHolders
  let disk: BlockingThreads
  let loads: SourceLoads
  let hanging: HangingNodes
  /// Chunks of one page of an inventory.
  let page: Int
  let logger: Logger
  let now: @Sendable () -> ContinuousClock.Instant
  let clock: any Clock<Duration>

  enum Step: Sendable {
    /// The pass goes on, with another page or from its beginning.
    case goesOn(ReconcilePass)
    /// Nothing is left to do for the members that could be asked.
    case finished
    /// Nothing can be done now.
    case waits(RepairQueue.Obstacle)
  }

  /// Does one page of `pass`, or of a new one, for all targets but those left out; says of each when it has got
  /// everything of the page, or failed. Throws when the row or a node is not what the table says.
  func step(
    _ group: GroupID, _ pass: ReconcilePass?, leavingOut busy: Set<NodeID>,
    served: @Sendable (NodeID) -> Void
  ) async throws -> Step {
    let (row, membership, heir, predecessor) = cluster.withState {
      ($0.table[group], $0.membership, $0.heirs[group], $0.predecessors[group])
    }
    guard let row else { return .finished }
    var current = ReconcilePass(
      row: row, membership, heir: heir, replacing: predecessor, since: namespace.revision)
    guard !current.targets.isEmpty else { return .finished }
    if let pass = pass?.continued(as: current) { current = pass }
    current.leaveOut(busy)
    let hasMore = try await takePage(of: &current, membership, served)
    guard !hasMore else { return .goesOn(current) }
    return try await finish(current)
  }

  /// True when more pages follow.
  private func takePage(
    of pass: inout ReconcilePass, _ membership: Membership, _ served: @Sendable (NodeID) -> Void
  ) async throws -> Bool {
    let row = pass.row
    guard pass.targets.contains(where: { hanging.mayAsk($0, now: now()) }) else {
      throw DFSError(.unavailable, "no member of group \(row.id) that is to be repaired has answered lately")
    }
    var inventories: [GroupInventory] = []
    for (node, answer) in await list(pass, membership) {
      switch answer {
      case .success(let inventory): inventories.append(inventory)
      case .failure(let error):
        if error.code == .stale { try await groups.learn([row.id]) }
        pass.flaw(node, error.message)
      }
    }
    var unheard = pass.unheard(but: inventories.map(\.node), membership)
    let asked = pass.targets.filter { node in inventories.contains { $0.node == node } }.sorted()
    guard !asked.isEmpty else {
      throw DFSError(
        .unavailable,
        "no member of group \(row.id) that is to be repaired answers: \(pass.flaws.sentence)")
    }
    var plan = try await plan(pass, inventories, asked)
    if !plan.unsourced.isEmpty {
      // What is about to be called lost is asked for anew.
      var others = await formers.holders(
        of: row.id, otherThan: Set(pass.holders.keys), anew: !pass.missedBefore.isEmpty)
      for node in others.holders {
        do {
          inventories.append(try await list(row, on: node, as: .former, after: pass.after))
        } catch { others.silent.insert(node) }
      }
      if !others.holders.isEmpty { plan = try await self.plan(pass, inventories, asked) }
      if !plan.unsourced.isEmpty { unheard.silent.formUnion(others.silent) }
    }
    pass.looked(at: inventories.reduce(0) { $0 + $1.replicas.count })
    await carryOut(plan, &pass, served)
    pass.took(plan, unheard: unheard)
    count(pass, plan)
    return plan.end != nil
  }

  /// Looks at the metadata, after the inventories were taken.
  private func plan(
    _ pass: ReconcilePass, _ inventories: [GroupInventory], _ targets: [NodeID]
  ) async throws -> ReconcilePage.Plan {
    let (namespace, group, after, limit) = (namespace, pass.row.id, pass.after, page)
    let (page, references, open) = try await disk.run {
      let view = try namespace.view()
      let indexed = try view.chunks(of: group, after: after, limit: limit)
      let page = ReconcilePage(
        inventories: inventories, targets: targets, indexed: indexed, isIndexEnd: indexed.count < limit)
      var references = try view.references(of: page.named)
      let missing = page.missing(references)
      // What is condemned may be half deleted already: it is neither copied nor missed.
      let condemned = try view.condemned(among: Set(missing.map(\.inode)))
      references = references.filter { !condemned.contains($0.key.inode) }
      let open = try Set((missing + page.unnamed).map(\.inode)).filter { try view.isOpenUpload($0) }
      return (page, references, open)
    }
    return page.plan(references: references, open: open, limits: .init(), loads: loads.now)
  }

  /// Ends a pass: promotes, begins another one, or gives up for now.
  private func finish(_ pass: ReconcilePass) async throws -> Step {
    let group = pass.row.id
    switch pass.verdict {
    case .wait(let reasons):
      logger.info(
        "a group can not be repaired now",
        metadata: [
          "group": "\(group)",
          "reasons": "\(reasons.sentence)",
        ])
      return .waits(pass.obstacle(cluster.withState { $0.membership }))
    case .lookAgain:
      return .goesOn(pass.again(since: namespace.revision))
    case .promote(let nodes, let lost):
      let findings = reports.findings
      do {
        try await groups.make([pass.promotion(of: nodes)])
      } catch let error as DFSError where error.code == .stale {
        logger.debug("a group changed while it was repaired", metadata: ["group": "\(group)"])
        return .goesOn(pass.again(since: namespace.revision))
      }
      reports.forget(group, on: nodes, lost: lost, of: findings)
      note(lost, of: group)
      logger.info(
        pass.heir == nil ? "members are full" : "a group is handed over",
        metadata: [
          "group": "\(group)", "nodes": "\(nodes.map(\.description).joined(separator: " "))",
          "chunks": "\(pass.wanted)",
        ])
      return nodes.count == pass.targets.count
        ? .finished : .waits(pass.obstacle(cluster.withState { $0.membership }))
    }
  }

  private func note(_ lost: [ChunkID], of group: GroupID) {
    cluster.withState { state in
      state.repair.lost(lost, of: group)
      if !state.table.unfinished.contains(group) { state.repair.finished(group) }
    }
    guard !lost.isEmpty else { return }
    logger.error(
      "chunks have no good copy on any node; they are kept in the metadata and reported",
      metadata: [
        "group": "\(group)", "count": "\(lost.count)",
        "chunks": "\(lost.prefix(20).map(\.description).joined(separator: " "))",
      ])
  }

  /// What is left, as far as this pass can tell: what a filling member lacks of the rest is not known yet.
  private func count(_ pass: ReconcilePass, _ plan: ReconcilePage.Plan) {
    cluster.withState { state in
      guard plan.end != nil else { return state.repair.counted(RepairBook.Left(), of: pass.row.id) }
      let all = state.chunkCounts[pass.row.id] ?? 0
      let rest = all - min(all, pass.wanted)
      let filling = UInt64(pass.row.slots.count { $0.state == .filling })
      let book = state.repair
      let mean = book.repairedChunks > 0 ? book.repairedBytes / book.repairedChunks : 0
      state.repair.counted(
        RepairBook.Left(chunks: rest * filling, bytes: rest * filling * mean), of: pass.row.id)
    }
  }
}

// Calls to nodes.
extension GroupReconciler {
  /// Inventories of all members; those out of contact fail without a call.
  private func list(
    _ pass: ReconcilePass, _ membership: Membership
  ) async -> [(NodeID, Result<GroupInventory, DFSError>)] {
    await withTaskGroup(of: (NodeID, Result<GroupInventory, DFSError>).self) { tasks in
      for (node, role) in pass.holders {
        tasks.addTask {
          do {
            guard membership[node]?.isInContact == true else {
              throw DFSError(.unavailable, "node \(node) is out of contact")
            }
            return (node, .success(try await list(pass.row, on: node, as: role, after: pass.after)))
          } catch {
            return (
              node, .failure(DFSError(wrapping: error, "listing group \(pass.row.id) on node \(node) failed"))
            )
          }
        }
      }
      return await tasks.reduce(into: []) { $0.append($1) }
    }
  }

  private func list(
    _ row: PlacementGroup, on node: NodeID, as role: GroupInventory.Role, after: ChunkID?
  ) async throws -> GroupInventory {
    let isDoubted = reports.doubt(of: row.id, on: node) == .everything
    let (page, sound) = try await hanging.ask(node, now) {
      let page = try await inventories.page(
        of: row.id, at: row.epoch, on: node, after: after,
        limit: isDoubted ? min(self.page, NodeInventories.largestVerifiedPage) : self.page,
        depth: isDoubted ? .verified : .listed)
      return (page, try await self.sound(page.entries, of: row.id, on: node))
    }
    let replicas = Dictionary(
      uniqueKeysWithValues: sound.map {
        ($0.chunk, GroupInventory.Replica(length: $0.length, root: $0.root))
      })
    let end = page.more ? page.entries.last?.chunk : nil
    return GroupInventory(node: node, role: role, replicas: replicas, end: end)
  }

  /// Orders the copies, of all nodes at once. What could not be made is a flaw of its node in this pass.
  private func carryOut(
    _ plan: ReconcilePage.Plan, _ pass: inout ReconcilePass, _ served: @Sendable (NodeID) -> Void
  ) async {
    let row = pass.row
    let asked = plan.askedBytes
    loads.add(asked)
    defer { loads.remove(asked) }
    for target in pass.targets where plan.orders[target] == nil { served(target) }
    await withTaskGroup(of: (NodeID, Copied).self) { tasks in
      for (node, orders) in plan.orders { tasks.addTask { (node, await copy(orders, of: row, to: node)) } }
      for await (node, copied) in tasks {
        served(node)
        pass.made(copied.made)
        if let why = copied.failure { pass.flaw(node, why) }
      }
    }
  }

  /// What came of an order.
  private struct Copied: Sendable {
    /// Replicas that were made, and not there before.
    var made = 0
    /// Why not all of them are durable on the node.
    var failure: String?
  }

  /// Counts while the call runs, so that one that fails has its copies counted.
  private final class Made: Sendable {
    let count = Mutex(0)
  }

  private func copy(_ orders: [CopyOrder], of row: PlacementGroup, to node: NodeID) async -> Copied {
    let made = Made()
    var copied = Copied()
    do {
      let request = try request(orders, of: row, to: node)
      copied.failure = try await hanging.ask(node, now) {
        try await watched(patience: Self.copyPatience, clock, "copying to node \(node)") { sign in
          try await channels.channel(to: node).call(
            DataNodeMethods.copyChunks, request, options: CallOptions(timeout: Self.copyTimeout)
          ) { reader in
            var (durable, why) = (0, String?.none)
            while let answer = try await reader.next() {
              sign()
              let fault = fault(of: answer, of: row.id, on: node)
              note(answer, of: row.id, on: node)
              if answer.copiedBytes > 0 { made.count.withLock { $0 += 1 } }
              if let fault { why = why ?? fault } else { durable += 1 }
            }
            guard why == nil, durable < orders.count else { return why }
            return "it answered for \(durable) of \(orders.count) chunks"
          }
        }
      }
    } catch {
      copied.failure = DFSError(wrapping: error, "copying to node \(node) failed").message
    }
    copied.made = made.count.withLock { $0 }
    return copied
  }

  private func request(
    _ orders: [CopyOrder], of row: PlacementGroup, to node: NodeID
  ) throws -> WireCopyChunksRequest {
    var request = WireCopyChunksRequest()
    request.epoch = WireEpoch(namespace.epoch)
    request.node = node.rawValue
    request.group = row.id.rawValue
    request.groupEpoch = row.epoch.rawValue
    let sources = Set(orders.flatMap(\.sources)).sorted()
    let places = Dictionary(uniqueKeysWithValues: sources.enumerated().map { ($1, UInt32($0)) })
    request.sources = sources.compactMap { cluster.member($0).map { WireNodeAddress($0.record) } }
    guard request.sources.count == sources.count else {
      throw DFSError(.notFound, "a source is not known any more")
    }
    request.chunks = orders.map { order in
      var copy = WireChunkCopy()
      copy.chunk = WireChunkId(order.chunk)
      copy.length = order.length
      copy.root = order.root.wire
      copy.sources = order.sources.compactMap { places[$0] }
      return copy
    }
    return request
  }

  private func note(_ answer: WireCopyChunksResponse, of group: GroupID, on node: NodeID) {
    let (chunk, time) = (ChunkID(answer.chunk), now())
    if answer.reason.isEmpty {
      // A node that says that it has it has not read what it has.
      if answer.copiedBytes > 0 { reports.forget(chunk, on: node) }
      cluster.withState { $0.repair.copied(chunks: 1, bytes: answer.copiedBytes, of: group, now: time) }
    }
    // A hint, as a reader's: the source's own look at its disk decides.
    let bad = answer.badSources.map {
      ReplicaReport(chunk: chunk, group: group, node: NodeID(rawValue: $0), fault: .corrupt)
    }
    if !bad.isEmpty { _ = reports.add(bad) }
  }
}

extension [NodeID: String] {
  fileprivate var sentence: String {
    sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ")
  }
}
