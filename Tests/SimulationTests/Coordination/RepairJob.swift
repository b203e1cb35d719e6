import DFSCore
import DFSMetadata

@testable import DFSCoordinator

// The job `repair`: the product's queue, pages and passes decide; inventories and copies are events.
extension CoordinatorProcess {
  /// Small, so that passes have several.
  private static let page = 40

  func repairGroups() {
    guard isRunning, world.scenario.planted.isRepairing else { return }
    let (table, membership, heirs, predecessors) = cluster.withState {
      ($0.table, $0.membership, $0.heirs, $0.predecessors)
    }
    healing.queue.fill(table, membership, heirs: heirs, predecessors: predecessors, now: world.instant)
    healing.passes = healing.passes.filter { table.unfinished.contains($0.key) || heirs[$0.key] != nil }
    startRepairs()
  }

  private func startRepairs() {
    guard isRunning else { return }
    while let entry = healing.queue.next() { work(on: entry) }
  }

  /// One page of one group.
  private func work(on entry: RepairQueue.Entry) {
    let (row, membership, heir, predecessor) = cluster.withState {
      ($0.table[entry.group], $0.membership, $0.heirs[entry.group], $0.predecessors[entry.group])
    }
    func end(_ pass: ReconcilePass?, _ end: RepairQueue.End) {
      guard isRunning else { return }
      healing.passes[entry.group] = pass
      let version = cluster.withState { $0.membership.version }
      healing.queue.end(entry, end, membership: version, now: world.instant)
      world.schedule(after: .milliseconds(1)) { [self] in startRepairs() }
    }
    guard let row else { return end(nil, .finished) }
    var pass = ReconcilePass(
      row: row, membership, heir: heir, replacing: predecessor, since: namespace.revision)
    guard !pass.targets.isEmpty else { return end(nil, .finished) }
    if let known = healing.passes[entry.group]?.continued(as: pass) { pass = known }
    pass.leaveOut(entry.leftOut)
    takePage(of: pass, membership) { [self] taken, hasMore in
      guard let taken else { return end(nil, .failed(.init())) }
      if hasMore { return end(taken, .goesOn) }
      do {
        let (next, outcome) = try finish(taken)
        end(next, outcome)
      } catch {
        world.note("c\(number) can not finish group \(row.id): \(error)")
        end(nil, .failed(.init()))
      }
    }
  }

  /// Inventories first, the metadata after them, then the copies. Gives `nil` where nobody answers.
  private func takePage(
    of pass: ReconcilePass, _ membership: DFSCoordinator.Membership,
    then: @escaping (ReconcilePass?, _ hasMore: Bool) -> Void
  ) {
    var pass = pass
    let row = pass.row
    gather(pass.holders.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }) { holder, done in
      let (node, role) = holder
      guard membership[node]?.isInContact == true else {
        return done((node, .failure(DFSError(.unavailable, "node \(node) is out of contact"))))
      }
      list(row, on: node, as: role, after: pass.after) { done((node, $0)) }
    } then: { [self] (answers: [(NodeID, Result<GroupInventory, DFSError>)]) in
      guard isRunning else { return }
      var inventories: [GroupInventory] = []
      for (node, answer) in answers {
        switch answer {
        case .success(let inventory): inventories.append(inventory)
        case .failure(let error):
          if error.code == .stale {
            attempt("learn a group") { learn(try namespace.view().groups([row.id])) }
          }
          pass.flaw(node, error.message)
        }
      }
      let asked = pass.targets.filter { node in inventories.contains { $0.node == node } }.sorted()
      guard !asked.isEmpty else {
        world.note("c\(number) gets no answer for group \(row.id): \(pass.flaws.values.sorted())")
        return then(nil, false)
      }
      let unheard = pass.unheard(but: inventories.map(\.node), membership)
      decide(pass, inventories, asked, unheard, then: then)
    }
  }

  private func decide(
    _ pass: ReconcilePass, _ inventories: [GroupInventory], _ asked: [NodeID],
    _ unheard: ReconcilePass.Unheard, then: @escaping (ReconcilePass?, _ hasMore: Bool) -> Void
  ) {
    var pass = pass
    guard let plan = plan(pass, inventories, asked) else { return then(nil, false) }
    pass.looked(at: inventories.reduce(0) { $0 + $1.replicas.count })
    guard !plan.unsourced.isEmpty else {
      return carryOut(plan, pass, unheard, then: then)
    }
    askFormerHolders(of: pass) { [self] others, silent in
      guard isRunning else { return }
      guard let plan = self.plan(pass, inventories + others, asked) else { return then(nil, false) }
      var unheard = unheard
      if !plan.unsourced.isEmpty { unheard.silent.formUnion(silent) }
      carryOut(plan, pass, unheard, then: then)
    }
  }

  private func plan(
    _ pass: ReconcilePass, _ inventories: [GroupInventory], _ targets: [NodeID]
  ) -> ReconcilePage.Plan? {
    do {
      let view = try namespace.view()
      let indexed = try view.chunks(of: pass.row.id, after: pass.after, limit: Self.page)
      let page = ReconcilePage(
        inventories: inventories, targets: targets, indexed: indexed, isIndexEnd: indexed.count < Self.page)
      var references = try view.references(of: page.named)
      let missing = page.missing(references)
      let condemned = try view.condemned(among: Set(missing.map(\.inode)))
      references = references.filter { !condemned.contains($0.key.inode) }
      let open = try Set((missing + page.unnamed).map(\.inode)).filter { try view.isOpenUpload($0) }
      return page.plan(references: references, open: open, limits: .init(), loads: healing.loads)
    } catch {
      world.note("c\(number) can not plan the repair of group \(pass.row.id): \(error)")
      return nil
    }
  }

  private func finish(_ pass: ReconcilePass) throws -> (ReconcilePass?, RepairQueue.End) {
    let again = pass.again(since: namespace.revision)
    switch world.scenario.planted.verdict(pass) {
    case .wait(let reasons):
      let why = reasons.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
      world.note("c\(number) can not repair group \(pass.row.id) now: \(why.joined(separator: "; "))")
      return (nil, .failed(pass.obstacle(cluster.withState { $0.membership })))
    case .lookAgain: return (again, .goesOn)
    case .promote(let nodes, let lost):
      do {
        try make([world.scenario.planted.promotion(pass.promotion(of: nodes))])
      } catch let error as DFSError where error.code == .stale {
        learn(try namespace.view().groups([pass.row.id]))
        return (again, .goesOn)
      }
      healing.reports.forget(pass.row.id, on: nodes, lost: lost, of: healing.reports.findings)
      cluster.withState { $0.repair.lost(lost, of: pass.row.id) }
      world.tally.add("members made full", nodes.count)
      if !lost.isEmpty { world.note("c\(number): chunks of group \(pass.row.id) are lost: \(lost)") }
      guard nodes.count < pass.targets.count else { return (nil, .finished) }
      return (nil, .failed(pass.obstacle(cluster.withState { $0.membership })))
    }
  }

  // MARK: Calls

  private func list(
    _ row: PlacementGroup, on node: NodeID, as role: GroupInventory.Role, after: ChunkID?,
    then: @escaping (Result<GroupInventory, DFSError>) -> Void
  ) {
    order(node, timeout: .seconds(20)) { [epoch] process in
      try process.list(row.id, epoch, at: row.epoch, after: after, limit: Self.page, depth: .listed)
    } then: { (result: Result<InventoryPage, DFSError>) in
      then(
        result.map { page in
          GroupInventory(
            node: node, role: role,
            replicas: Dictionary(
              uniqueKeysWithValues: page.entries.map {
                ($0.chunk, GroupInventory.Replica(length: $0.length, root: $0.root))
              }), end: page.more ? page.entries.last?.chunk : nil)
        })
    }
  }

  /// Nodes that are no members and have something of the group; and those that may have and do not answer.
  private func askFormerHolders(
    of pass: ReconcilePass, then: @escaping ([GroupInventory], Set<NodeID>) -> Void
  ) {
    let row = pass.row
    let holders = pass.holders
    let others = cluster.withState { state in
      state.membership.present.filter { !$0.isGone && holders[$0.id] == nil }
    }
    let absent = others.filter { !$0.isInContact }.map(\.id)
    gather(others.filter(\.isInContact).map(\.id)) { node, done in
      order(node, timeout: .seconds(5)) {
        $0.groupsHeld.contains(row.id)
      } then: {
        (result: Result<Bool, DFSError>) in
        done((node, try? result.get()))
      }
    } then: { [self] (answers: [(NodeID, Bool?)]) in
      let silent = Set(answers.filter { $0.1 == nil }.map(\.0)).union(absent)
      gather(answers.filter { $0.1 == true }.map(\.0)) { node, done in
        list(row, on: node, as: .former, after: pass.after) { done((node, $0)) }
      } then: { (answers: [(NodeID, Result<GroupInventory, DFSError>)]) in
        let inventories = answers.compactMap { try? $0.1.get() }
        then(inventories, silent.union(Set(answers.map(\.0)).subtracting(inventories.map(\.node))))
      }
    }
  }

  /// All nodes at once.
  private func carryOut(
    _ plan: ReconcilePage.Plan, _ pass: ReconcilePass, _ unheard: ReconcilePass.Unheard,
    then: @escaping (ReconcilePass?, _ hasMore: Bool) -> Void
  ) {
    let asked = plan.askedBytes
    for (node, bytes) in asked { healing.loads[node, default: 0] += bytes }
    for target in pass.targets where plan.orders[target] == nil {
      healing.queue.served(target, of: pass.row.id)
    }
    gather(plan.orders.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }) { [self] order, done in
      copy(order.1, of: pass.row, to: order.0) { [self] report in
        if isRunning { healing.queue.served(order.0, of: pass.row.id) }
        done((order.0, order.1.count, report))
      }
    } then: { [self] (answers: [(NodeID, Int, Result<CopyReport, DFSError>)]) in
      for (node, bytes) in asked { healing.loads[node, default: bytes] -= bytes }
      guard isRunning else { return }
      var pass = pass
      for (node, wanted, answer) in answers {
        switch answer {
        case .success(let report):
          pass.made(wanted - report.failures)
          if report.failures > 0 { pass.flaw(node, "\(report.failures) of \(wanted) chunks were not copied") }
        case .failure(let error): pass.flaw(node, error.message)
        }
      }
      pass.took(plan, unheard: unheard)
      then(pass, plan.end != nil)
    }
  }

  private func copy(
    _ orders: [CopyOrder], of row: PlacementGroup, to node: NodeID,
    then: @escaping (Result<CopyReport, DFSError>) -> Void
  ) {
    guard let machine = world.machine(of: cluster.member(node)?.record) else {
      return then(.failure(DFSError(.unavailable, "no address of node \(node) is known")))
    }
    let sources = Dictionary(
      Set(orders.flatMap(\.sources)).sorted().compactMap { source in
        world.machine(of: cluster.member(source)?.record).map { (source, $0.number) }
      }, uniquingKeysWith: { first, _ in first })
    let epoch = epoch
    world.call(from: host, to: machine.host, timeout: .minutes(2)) { [world] answer in
      guard let process = machine.process, process.node == node else {
        return answer(.failure(DFSError(.unavailable, "nobody listens")))
      }
      do { try process.obey(epoch, in: row.id, at: row.epoch) } catch {
        return answer(.failure(DFSError(wrapping: error, "an order is refused")))
      }
      world.copy(orders[...], of: row, to: process, sources, epoch, failures: 0, bad: [], answer)
    } then: { [self] (result: Result<CopyReport, DFSError>) in
      guard isRunning else { return }
      for bad in (try? result.get())?.bad ?? [] { reported(bad.chunk, row.id, bad.node) }
      then(result)
    }
  }
}

/// What `CopyChunks` answers, all of it.
struct CopyReport {
  var failures: Int
  var bad: [(chunk: ChunkID, node: NodeID)]
}

extension World {
  /// The chunks of one order, one after another, each from the first source that has a good copy.
  func copy(
    _ orders: ArraySlice<CopyOrder>, of row: PlacementGroup, to target: NodeProcess, _ places: [NodeID: Int],
    _ epoch: Epoch, failures: Int, bad: [(chunk: ChunkID, node: NodeID)],
    _ answer: @escaping (Result<CopyReport, DFSError>) -> Void
  ) {
    guard target.isRunning else { return }
    guard let order = orders.first else {
      return answer(.success(CopyReport(failures: failures, bad: bad)))
    }
    pull(order, order.sources[...], of: row, to: target, places, bad: []) { [self] source, found in
      guard target.isRunning else { return }
      var failures = failures
      do {
        try target.keep(
          order.chunk, in: row.id, from: source, length: order.length, root: order.root, epoch,
          at: row.epoch)
      } catch { failures += 1 }
      copy(
        orders.dropFirst(), of: row, to: target, places, epoch, failures: failures, bad: bad + found, answer)
    }
  }

  private func pull(
    _ order: CopyOrder, _ sources: ArraySlice<NodeID>, of row: PlacementGroup, to target: NodeProcess,
    _ places: [NodeID: Int], bad: [(chunk: ChunkID, node: NodeID)],
    then: @escaping (Replica?, [(chunk: ChunkID, node: NodeID)]) -> Void
  ) {
    guard target.root(of: order.chunk, in: row.id) == nil, let source = sources.first else {
      return then(nil, bad)
    }
    guard let number = places[source] else {
      return pull(order, sources.dropFirst(), of: row, to: target, places, bad: bad, then: then)
    }
    ask(machines[number], from: target.machine.host, source, timeout: .seconds(5)) { process in
      try process.read(order.chunk, in: row.id, root: order.root)
      return process.disk.replica(order.chunk, in: row.id)
    } then: { [self] (result: Result<Replica?, DFSError>) in
      switch result {
      case .success(let replica?): then(replica, bad)
      case .success(nil):
        pull(order, sources.dropFirst(), of: row, to: target, places, bad: bad, then: then)
      case .failure(let error):
        let isBad = error.code == .corrupt || error.code == .notFound
        pull(
          order, sources.dropFirst(), of: row, to: target, places,
          bad: isBad ? bad + [(order.chunk, source)] : bad, then: then)
      }
    }
  }
}
