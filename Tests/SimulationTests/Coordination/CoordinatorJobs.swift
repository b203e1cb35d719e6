import DFSCore
import DFSMetadata

@testable import DFSCoordinator

// The jobs of a coordinator. Each function is one step of the job of the same name.

extension CoordinatorProcess {
  func startJobs() {
    let isDense = world.scenario.pace == .dense
    if isDense { every(.seconds(1)) { $0.watchNodes() } } else { watchSparsely() }
    every(isDense ? .seconds(1) : .minutes(10)) { $0.expireUploads() }
    every(isDense ? .seconds(2) : .minutes(10)) { $0.reapCondemned() }
    every(isDense ? .seconds(1) : .minutes(10)) { $0.purgeTrash() }
    startHealing()
  }

  /// Runs a step now and then, as long as the process lives.
  func every(_ span: Span, _ step: @escaping (CoordinatorProcess) -> Void) {
    world.schedule(after: span) { [self] in
      guard isRunning else { return }
      if let end = pausedUntil, end > world.now {
        world.schedule(at: end) { [self] in
          step(self)
          every(span, step)
        }
        return
      }
      step(self)
      every(span, step)
    }
  }

  /// What a job of the product does with a failure: logs it, and tries again with its next step.
  func attempt(_ what: String, _ body: () throws -> Void) {
    guard isRunning else { return }
    do { try body() } catch { world.note("c\(number) fails to \(what): \(error)") }
  }

  // MARK: watch_nodes

  func watchNodes() {
    guard isRunning else { return }
    let now = world.instant
    let (transitions, occasion, unsaved) = cluster.withState { state in
      let transitions = state.membership.tick(now: now)
      return (transitions, PlanOccasion(state), state.membership.unsaved.sorted())
    }
    note(transitions)
    for node in unsaved { attempt("save node \(node)") { try save(node) } }
    defer {
      // Another step finds that what came has stayed, or plans what could not be planned now.
      if world.scenario.pace == .sparse, occasion != plannedFor { world.look(after: .milliseconds(2_100)) }
    }
    guard isDue(occasion) else { return }
    attempt("plan groups") {
      for replicas in 1...Limits.mostReplicas {
        let isMissing = cluster.withState { $0.table.groups(replicas: replicas).isEmpty }
        // The cluster's own policy gets its groups before the first write asks, others when they are needed.
        let isWanted = replicas == configuration.policy.replicas && occasion.eligible.count >= Int(replicas)
        if !isMissing || isWanted { try plan(PlacementPolicy(replicas: replicas)) }
      }
      plannedFor = occasion
      plannedAt = world.now
    }
  }

  private func save(_ node: NodeID) throws {
    guard let record = cluster.withState({ $0.membership.saving(node) }) else { return }
    do { _ = try mutate(PutNode(node: record)) } catch {
      cluster.withState { $0.membership.savingFailed(node) }
      throw error
    }
  }

  /// As the watch of the product: at once for nodes that go, when they have settled for nodes that come.
  private func isDue(_ occasion: PlanOccasion) -> Bool {
    if eligible != occasion.eligible {
      eligible = occasion.eligible
      eligibleSince = world.now
    }
    guard occasion != plannedFor else { return false }
    if !occasion.gone.isSubset(of: plannedFor?.gone ?? []) { return true }
    if !occasion.draining.isEmpty, world.now - plannedAt >= .seconds(1) { return true }
    return world.now - eligibleSince >= .seconds(2)
  }

  /// As `GroupKeeper.plan`.
  func plan(_ policy: PlacementPolicy) throws {
    let view = try namespace.view()
    let unknown = cluster.withState { state in
      state.table.groups(replicas: policy.replicas).filter {
        !state.used.contains($0) && !foundEmpty.contains($0)
      }
    }
    let filled = try unknown.filter { try !view.chunks(of: $0, after: nil, limit: 1).isEmpty }
    cluster.markUsed(filled)
    foundEmpty.formUnion(Set(unknown).subtracting(filled))
    let (table, membership, used) = cluster.withState { ($0.table, $0.membership, $0.used) }
    let planner = GroupPlanner(
      policy: policy, membership: membership, rules: configuration.placement,
      isEmpty: { !used.contains($0) })
    let changes = world.scenario.planted.plan(try planner.plan(table, using: &world.random), world)
    for start in stride(from: 0, to: changes.count, by: Limits.groupsPerChange) {
      try make(Array(changes[start..<min(start + Limits.groupsPerChange, changes.count)]))
    }
    if policy.replicas == 1 {
      let (table, before) = cluster.withState { ($0.table, $0.heirs) }
      let heirs = planner.heirs(table, before: before, using: &world.random)
      cluster.withState { state in
        state.heirs = state.heirs.filter { state.predecessors[$0.key] != nil }.merging(heirs) { $1 }
      }
    }
    if !changes.isEmpty { world.note("c\(number) planned \(changes.count) groups") }
  }

  func make(_ changes: [ChangeGroups.Change]) throws {
    do { _ = try mutate(ChangeGroups(changes: changes)) } catch let error as DFSError
      where error.code == .stale
    {
      learn(try namespace.view().groups(changes.map(\.id)))
      throw error
    }
    learn(try namespace.view().groups(changes.map(\.id)))
  }

  // MARK: expire_uploads

  func expireUploads() {
    for upload in namespace.expiredUploads(limit: 100).sorted() {
      attempt("expire upload \(upload)") {
        _ = try mutate(AbortUpload(upload: upload, cause: .expired))
        world.tally.add("uploads expired")
      }
    }
  }

  // MARK: purge_trash

  func purgeTrash() {
    guard !namespace.isHeld else { return }
    attempt("purge the trash") {
      for deletion in try namespace.expiredTrash(limit: 1000) {
        if try mutate(PurgeTrash(deletion: deletion)).outcome.isPurged { world.tally.add("deletions purged") }
      }
      // At the sparse pace nobody reports anything but huge disks.
      if world.scenario.pace == .dense { try relieve() }
    }
  }

  /// As `PurgeExpired.relieve`: purges ahead of time what the disks need back.
  private func relieve() throws {
    let space = cluster.withState { state in
      ClusterSpace(state.membership.present.filter { $0.isReachable && $0.report != nil })
    }
    let missing = world.scenario.planted.missing(pressure.missing(of: space, now: world.instant))
    guard missing > .zero, namespace.counts.trash > 0 else {
      pressurePosition = nil
      return
    }
    let (costs, next) = try namespace.view().trashCosts(after: pressurePosition, limit: Self.trashPage)
    let chosen = pressure.choose(costs, missing: missing)
    for cost in chosen {
      let isPurged = try mutate(PurgeTrash(deletion: cost.deletion)).outcome.isPurged
      guard isPurged else { continue }
      world.tally.add("deletions purged early")
      world.tell(.trashRelieved(cost.deletion))
    }
    let due = world.instant + namespace.configuration.reapGrace + .seconds(60)
    pressure.purged(chosen, due: due)
    pressurePosition = next
  }

  /// Small, so that a look has several pages.
  private static let trashPage = 50

  // MARK: reap_condemned

  private static let mostPages = 16

  func reapCondemned() {
    guard isRunning, !isReaping else { return }
    attempt("collect what is condemned") {
      let (table, membership) = cluster.withState { ($0.table, $0.membership) }
      var plan = ReapPlan()
      var last = reapedTo
      for _ in 0..<Self.mostPages {
        guard let page = try world.scenario.planted.nextCondemned(namespace, after: last) else {
          last = nil
          break
        }
        plan.add(page, table: table, membership: membership)
        last = page
      }
      isReaping = true
      carryOut(plan) { [self] done in
        isReaping = false
        forget(plan, done, last)
      }
    }
  }

  private func carryOut(_ plan: ReapPlan, then: @escaping (Set<NodeID>) -> Void) {
    var waiting = plan.orders.count
    var done: Set<NodeID> = []
    guard waiting > 0 else { return then([]) }
    for (node, runs) in plan.orders.sorted(by: { $0.key < $1.key }) {
      order(node, timeout: .seconds(30)) { [epoch] process in
        try process.reap(runs, epoch, at: nil, because: .reaped)
      } then: { (result: Result<Void, DFSError>) in
        if case .success = result { done.insert(node) }
        waiting -= 1
        if waiting == 0 { then(done) }
      }
    }
  }

  private func forget(_ plan: ReapPlan, _ done: Set<NodeID>, _ last: ReapPage?) {
    guard isRunning else { return }
    var unfinished = 0
    for part in plan.parts where done.isSuperset(of: part.nodes) {
      attempt("forget a page") {
        if try !mutate(Reap(page: part.page)).outcome.isFinished { unfinished += 1 }
        world.tally.add("pages reaped")
      }
    }
    if unfinished == 0 { reapedTo = last }
  }

  // MARK: Orders

  /// Calls a datanode: `serve` runs there.
  func order<Answer>(
    _ node: NodeID, timeout: Span, _ serve: @escaping (NodeProcess) throws -> Answer,
    then: @escaping (Result<Answer, DFSError>) -> Void
  ) {
    guard let machine = world.machine(of: cluster.member(node)?.record) else {
      return then(.failure(DFSError(.unavailable, "no address of node \(node) is known")))
    }
    world.ask(machine, from: host, node, timeout: timeout, serve) { [self] result in
      // The answer to a process that is gone reaches nobody.
      if isRunning { then(result) }
    }
  }
}

extension World {
  /// Calls the datanode on a machine; another node there refuses.
  func ask<Answer>(
    _ machine: Machine, from caller: Host, _ node: NodeID, timeout: Span,
    _ serve: @escaping (NodeProcess) throws -> Answer,
    then: @escaping (Result<Answer, DFSError>) -> Void
  ) {
    call(from: caller, to: machine.host, timeout: timeout) { answer in
      guard let process = machine.process else {
        return answer(.failure(DFSError(.unavailable, "nobody listens at m\(machine.number)")))
      }
      do {
        try process.checkAddressee(node)
        answer(.success(try serve(process)))
      } catch { answer(.failure(DFSError(wrapping: error, "a call failed in a way nobody foresaw"))) }
    } then: {
      then($0)
    }
  }
}
