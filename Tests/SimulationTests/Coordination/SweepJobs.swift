import DFSCore
import DFSMetadata

@testable import DFSCoordinator

// The jobs `sweep_groups` and `sweep_strays`.
extension CoordinatorProcess {
  /// Small, so that groups have several windows.
  private static let page = 50

  /// Begins a check and a search now, as an operator does.
  func hurrySweeps() {
    healing.sweep.hurry()
    healing.strays.hurry()
  }

  func sweepGroups() {
    guard isRunning, !healing.isSweeping else { return }
    var walk = healing.sweep
    if walk.canHurryFirst, cluster.withState({ $0.hasDrainedNode }) { walk.hurryFirst() }
    let next = walk.next(now: world.instant) { cluster.withState { $0.table.groups.keys.sorted() } }
    healing.sweep = walk
    guard case .window(let visit) = next else { return }
    healing.isSweeping = true
    compare(visit) { [self] in
      healing.isSweeping = false
      world.schedule(after: .milliseconds(5)) { [self] in sweepGroups() }
    }
  }

  private func compare(_ visit: SweepWalk.Visit, then: @escaping () -> Void) {
    let row = cluster.withState { state -> PlacementGroup? in
      guard let row = state.table[visit.group], !row.members.isEmpty,
        row.members.allSatisfy({ state.membership[$0]?.isInContact == true })
      else { return nil }
      return row
    }
    guard let row, let view = try? namespace.view(),
      let named = try? view.chunks(of: visit.group, after: visit.after, limit: Self.page),
      let references = try? view.references(of: named)
    else {
      healing.sweep.passOver(visit, now: world.instant)
      return then()
    }
    gather(row.members) { node, done in
      list(row.id, at: row.epoch, on: node, after: visit.after, limit: Self.page) { done((node, $0)) }
    } then: { [self] (answers: [(NodeID, Result<InventoryPage, DFSError>)]) in
      guard isRunning else { return }
      var inventories: [NodeID: InventoryPage] = [:]
      for (node, answer) in answers { inventories[node] = try? answer.get() }
      guard inventories.count == row.members.count else {
        healing.sweep.passOver(visit, now: world.instant)
        return then()
      }
      let plan = SweepPlan(
        row: row,
        named: SweepPlan.Named(chunks: named, references: references, more: named.count == Self.page),
        inventories: inventories)
      attempt("sweep group \(row.id)") { try conclude(plan, visit) }
      then()
    }
  }

  private func conclude(_ plan: SweepPlan, _ visit: SweepWalk.Visit) throws {
    let view = try namespace.view()
    guard try view.group(plan.row.id)?.epoch == plan.row.epoch else {
      return healing.sweep.again(visit, now: world.instant)
    }
    let liveness = try view.liveness(of: plan.questions, in: plan.row.id)
    let findings = plan.findings(world.scenario.planted.liveness(liveness))
    for (node, _) in findings.lacking.sorted(by: { $0.key < $1.key }) { try markBehind(node, [visit.group]) }
    if !findings.orphans.isEmpty, !namespace.isHeld {
      try condemn(findings.orphans, of: visit.group, holders: findings.holders)
    }
    healing.sweep.swept(visit, to: plan.end, findings, now: world.instant)
  }

  private func condemn(_ orphans: [ChunkID], of group: GroupID, holders: [NodeID]) throws {
    for start in stride(from: 0, to: orphans.count, by: Limits.orphansPerRecord) {
      let part = Array(orphans[start..<min(start + Limits.orphansPerRecord, orphans.count)])
      let settled = try mutate(CondemnOrphans(group: group, chunks: part, holders: holders))
      world.tally.add("orphans condemned", Int(settled.outcome.condemned))
    }
  }

  private func list(
    _ group: GroupID, at groupEpoch: GroupEpoch?, on node: NodeID, after: ChunkID?, limit: Int,
    depth: NodeInventories.Depth = .listed, then: @escaping (Result<InventoryPage, DFSError>) -> Void
  ) {
    order(node, timeout: .seconds(30)) { [epoch] process in
      try process.list(group, epoch, at: groupEpoch, after: after, limit: limit, depth: depth)
    } then: {
      then($0)
    }
  }

  // MARK: sweep_strays

  func sweepStrays() {
    guard isRunning, !healing.isSearching else { return }
    var walk = healing.strays
    let next = walk.next(now: world.instant) {
      cluster.withState { $0.membership.present.filter(\.isInContact).map(\.id) }
    }
    healing.strays = walk
    func goOn() {
      healing.isSearching = false
      world.schedule(after: .milliseconds(5)) { [self] in sweepStrays() }
    }
    switch next {
    case .wait: return
    case .groups(let node, _):
      healing.isSearching = true
      order(node, timeout: .seconds(30)) {
        $0.groupsHeld
      } then: {
        [self] (result: Result<[GroupID], DFSError>) in
        switch result {
        case .success(let groups):
          // An heir is given copies before it becomes the member: they are no strays.
          let foreign = cluster.withState { state in
            let own = state.table.groups(of: node)
            return groups.filter { !own.contains($0) && state.heirs[$0] != node }
          }
          healing.strays.listed(foreign, last: groups.last, more: false)
        case .failure: healing.strays.leaveNode()
        }
        goOn()
      }
    case .page(let node, let group, let after):
      healing.isSearching = true
      deal(with: node, group, after: after) { [self] end, findings in
        if let findings {
          healing.strays.looked(to: end, findings)
        } else {
          healing.strays.leaveGroup()
        }
        goOn()
      }
    }
  }

  private func isInContact(_ node: NodeID) -> Bool { cluster.member(node)?.isInContact == true }

  private func knowledge(
    of chunks: [ChunkID], _ group: GroupID
  ) throws -> (row: PlacementGroup?, liveness: [ChunkLiveness]) {
    let view = try namespace.view()
    return (try view.group(group), world.scenario.planted.liveness(try view.liveness(of: chunks, in: group)))
  }

  /// One page of strays.
  private func deal(
    with node: NodeID, _ group: GroupID, after: ChunkID?,
    then: @escaping (_ end: ChunkID?, StrayPlan.Findings?) -> Void
  ) {
    let (known, heir) = cluster.withState { ($0.table[group], $0.heirs[group]) }
    guard known?.members.contains(node) != true, heir != node else { return then(nil, nil) }
    list(group, at: known?.epoch, on: node, after: after, limit: Self.page) { [self] answer in
      guard isRunning else { return }
      guard case .success(let page) = answer,
        let (row, liveness) = try? knowledge(of: page.entries.map(\.chunk), group),
        row?.members.contains(node) != true
      else { return then(nil, nil) }
      let plan = StrayPlan(
        node: node, row: row, page: page.entries, liveness: liveness, isInContact: { isInContact($0) })
      verify(plan) { [self] plan in
        guard let plan else { return then(nil, nil) }
        var findings: StrayPlan.Findings?
        attempt("deal with strays") {
          let now = try knowledge(of: plan.candidates.map(\.chunk), group)
          let found = plan.findings(now: now.row, liveness: now.liveness, isInContact: { isInContact($0) })
          let chosen = world.scenario.planted.strays(found, plan)
          try act(on: chosen, of: group, on: node, now.row)
          findings = found
        }
        then(page.more ? page.entries.last?.chunk : nil, findings)
      }
    }
  }

  /// Has every member read its copies of the candidates.
  private func verify(_ plan: StrayPlan, then: @escaping (StrayPlan?) -> Void) {
    guard let row = plan.row, !namespace.isHeld, !plan.candidates.isEmpty else { return then(plan) }
    var plan = plan
    gather(plan.members) { member, done in
      list(row.id, at: row.epoch, on: member, after: nil, limit: .max, depth: .verified) {
        done((member, $0))
      }
    } then: { [self] (answers: [(NodeID, Result<InventoryPage, DFSError>)]) in
      guard isRunning else { return }
      let wanted = Set(plan.candidates.map(\.chunk))
      for (member, answer) in answers {
        guard case .success(let page) = answer else { return then(nil) }
        plan.verified(page.entries.filter { wanted.contains($0.chunk) }, by: member)
      }
      then(plan)
    }
  }

  private func act(
    on findings: StrayPlan.Findings, of group: GroupID, on node: NodeID, _ row: PlacementGroup?
  ) throws {
    for (member, _) in findings.lacking.sorted(by: { $0.key < $1.key }) { try markBehind(member, [group]) }
    guard !namespace.isHeld else { return }
    if !findings.orphans.isEmpty { try condemn(findings.orphans, of: group, holders: [node]) }
    guard !findings.surplus.isEmpty, let row else { return }
    let runs = ReapPlan.runs(of: findings.surplus.map { CondemnedChunk(group: group, chunk: $0) })
    order(node, timeout: .seconds(30)) { [epoch] process in
      try process.reap(runs, epoch, at: row.epoch, because: .stray)
    } then: { [self] (_: Result<Void, DFSError>) in
      // Should it have become a member at this very moment, what it was seen to have proves nothing.
      attempt("look at a group again") {
        if try namespace.view().group(group)?.members.contains(node) == true { try markBehind(node, [group]) }
      }
    }
  }
}
