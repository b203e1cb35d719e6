import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

/// The deciding values of the sweep, against models.
@Suite struct SweepPlanTests {
  /// What there is of one group: what the metadata knows before and after the inventories, and who has what.
  private struct World {
    var row: PlacementGroup
    var before: Set<ChunkID> = []
    var after: [ChunkID: ChunkLiveness] = [:]
    var stored: [NodeID: Set<ChunkID>] = [:]

    init(using random: inout SeededGenerator) {
      let states: [SlotState] = [.full, .full, .full, .behind, .filling]
      let count = Int.random(in: 1...4, using: &random)
      let slots = (1...count).map {
        GroupSlot(node: NodeID(rawValue: UInt64($0)), state: states.randomElement(using: &random) ?? .full)
      }
      row = PlacementGroup(
        id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: 3),
        policy: PlacementPolicy(replicas: UInt8(count)),
        slots: slots)
      for number in 0..<Int.random(in: 0...60, using: &random) {
        let chunk = ChunkID(inode: InodeID(rawValue: UInt64(number / 4)), index: UInt32(number % 4))
        let liveness = ChunkLiveness.allCases.randomElement(using: &random) ?? .dead
        after[chunk] = liveness
        // What is named later may be so only since; what was named before may have died since.
        let wasNamed = liveness == .named || liveness == .condemned || liveness == .dead
        if wasNamed, Bool.random(using: &random) { before.insert(chunk) }
        for member in row.members where Int.random(in: 0..<4, using: &random) > 0 {
          stored[member, default: []].insert(chunk)
        }
      }
    }

    func inventory(of node: NodeID, after: ChunkID?, limit: Int) -> InventoryPage {
      let all = (stored[node] ?? []).sorted().filter { chunk in after.map { chunk > $0 } ?? true }
      return InventoryPage(entries: all.prefix(limit).map(entry), more: all.count > limit)
    }

    func named(after: ChunkID?, limit: Int) -> SweepPlan.Named {
      let all = before.sorted().filter { chunk in after.map { chunk > $0 } ?? true }
      let page = Array(all.prefix(limit))
      return SweepPlan.Named(
        chunks: page, references: Dictionary(uniqueKeysWithValues: page.map { ($0, reference(entry($0))) }),
        more: all.count > limit)
    }
  }

  @Test func `windows of any size find each orphan, each lost copy and nothing else`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<2000 {
      let world = World(using: &random)
      let full = world.row.slots.filter { $0.state == .full }.compactMap(\.node)
      var (orphans, missing, lacking) = (Set<ChunkID>(), Set<ChunkID>(), Set<Copy>())
      var living = 0
      var start: ChunkID?
      var windows = 0
      repeat {
        let plan = SweepPlan(
          row: world.row, named: world.named(after: start, limit: Int.random(in: 1...9, using: &random)),
          inventories: Dictionary(
            uniqueKeysWithValues: world.row.members.map { node in
              (node, world.inventory(of: node, after: start, limit: Int.random(in: 1...9, using: &random)))
            }))
        let findings = plan.findings(plan.questions.map { world.after[$0] ?? .dead })
        #expect(orphans.isDisjoint(with: findings.orphans) && missing.isDisjoint(with: findings.missing))
        orphans.formUnion(findings.orphans)
        missing.formUnion(findings.missing)
        for (node, chunks) in findings.lacking {
          lacking.formUnion(chunks.map { Copy(node: node, chunk: $0) })
        }
        living += findings.living
        #expect(start.map { start in plan.end.map { $0 > start } ?? true } ?? true)
        start = plan.end
        windows += 1
      } while start != nil && windows < 500
      let present = world.stored.values.reduce(into: Set<ChunkID>()) { $0.formUnion($1) }
      // A dead chunk that everybody has and the earlier view still named is found by the next sweep.
      for chunk in present where world.after[chunk] == .dead && !world.before.contains(chunk) {
        #expect(orphans.contains(chunk), "seed \(random.seed)")
      }
      for chunk in orphans {
        #expect(world.after[chunk] == .dead && present.contains(chunk), "seed \(random.seed)")
      }
      let sure = world.before.filter { world.after[$0] == .named }
      #expect(missing == sure.filter { !present.contains($0) }, "seed \(random.seed)")
      let lost = sure.intersection(present).flatMap { chunk in
        full.filter { world.stored[$0]?.contains(chunk) != true }.map { Copy(node: $0, chunk: chunk) }
      }
      #expect(lacking == Set(lost), "seed \(random.seed)")
      #expect(living >= sure.count)
    }
  }

  @Test func `another content under a chunk's id is no copy of it`() throws {
    let chunks = (0..<4).map { ChunkID(inode: InodeID(rawValue: 3), index: $0) }
    let slots = (1...3).map { GroupSlot(node: NodeID(rawValue: $0), state: .full) }
    let row = PlacementGroup(
      id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: 3), policy: PlacementPolicy(replicas: 3),
      slots: slots)
    var pages: [[InventoryEntry]] = Array(repeating: chunks.map { entry($0) }, count: 3)
    pages[0][1].root = entry(chunks[1], root: 7).root
    pages[1][2].length += 1
    for node in pages.indices { pages[node][3] = entry(chunks[3], root: 7) }
    let plan = SweepPlan(
      row: row,
      named: SweepPlan.Named(
        chunks: chunks,
        references: Dictionary(uniqueKeysWithValues: chunks.map { ($0, reference(entry($0))) }), more: false),
      inventories: Dictionary(
        uniqueKeysWithValues: zip(row.members, pages).map { ($0, InventoryPage(entries: $1, more: false)) }))
    #expect(plan.questions == Array(chunks.dropFirst()))
    let findings = plan.findings(plan.questions.map { _ in .named })
    #expect(findings.lacking == [row.members[0]: [chunks[1]], row.members[1]: [chunks[2]]])
    #expect(findings.missing == [chunks[3]] && findings.orphans.isEmpty)
  }

  private struct Copy: Hashable {
    var node: NodeID
    var chunk: ChunkID
  }

  @Test
  func `a stray goes only when each of the members has shown the same bytes, at the epoch that holds now`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let stray = NodeID(rawValue: 9)
    var removed = 0
    for _ in 0..<5000 {
      let replicas = UInt8.random(in: 1...3, using: &random)
      let isDamaged = Int.random(in: 0..<4, using: &random) == 0
      let slots = (1...UInt64(replicas)).map { number -> GroupSlot in
        let state: SlotState =
          isDamaged ? [.full, .behind, .filling].randomElement(using: &random) ?? .full : .full
        return GroupSlot(node: NodeID(rawValue: number), state: state)
      }
      let row = PlacementGroup(
        id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: 2), policy: PlacementPolicy(replicas: replicas),
        slots: slots)
      let away: Set<NodeID> = Int.random(in: 0..<6, using: &random) == 0 ? [slots[0].node ?? stray] : []
      let page = (0..<8).map { entry(ChunkID(inode: InodeID(rawValue: 5), index: $0)) }
      let first = page.map { _ in ChunkLiveness.allCases.randomElement(using: &random) ?? .dead }
      var plan = StrayPlan(
        node: stray, row: row, page: page, liveness: first, isInContact: { !away.contains($0) })
      var shown: [ChunkID: Int] = [:]
      for member in plan.members where Int.random(in: 0..<20, using: &random) > 0 {
        var copies: [InventoryEntry] = []
        for candidate in plan.candidates where Int.random(in: 0..<10, using: &random) > 0 {
          let isSame = Int.random(in: 0..<10, using: &random) > 0
          copies.append(isSame ? candidate : entry(candidate.chunk, root: 7))
          if isSame { shown[candidate.chunk, default: 0] += 1 }
        }
        plan.verified(copies, by: member)
      }
      var now = row
      if Int.random(in: 0..<8, using: &random) == 0 { now.epoch = now.epoch.next }
      let second = plan.candidates.map { _ in
        Int.random(in: 0..<10, using: &random) > 0 ? ChunkLiveness.named : .condemned
      }
      let findings = plan.findings(now: now, liveness: second, isInContact: { !away.contains($0) })
      #expect(
        findings.orphans == zip(page, first).filter { $1 == .dead }.map(\.0.chunk), "seed \(random.seed)")
      let isWhole = slots.allSatisfy { $0.state == .full } && away.isEmpty && now == row
      for chunk in findings.surplus {
        #expect(isWhole && shown[chunk] == Int(replicas), "seed \(random.seed)")
        #expect(first[Int(chunk.index)] == .named, "seed \(random.seed)")
      }
      #expect(findings.surplus.count + findings.kept + findings.orphans.count == page.count)
      for (member, chunks) in findings.lacking {
        #expect(isWhole && row.members.contains(member) && Set(chunks).isDisjoint(with: findings.surplus))
      }
      removed += findings.surplus.count
    }
    #expect(removed > 1000)
  }

  @Test func `a stray of a group that nobody knows goes only when it is dead`() {
    let page = (0..<5).map { entry(ChunkID(inode: InodeID(rawValue: 5), index: $0)) }
    var plan = StrayPlan(
      node: NodeID(rawValue: 1), row: nil, page: page,
      liveness: [.dead, .named, .uploading, .foreign, .condemned],
      isInContact: { _ in true })
    plan.verified(page, by: NodeID(rawValue: 2))
    let findings = plan.findings(now: nil, liveness: [.named], isInContact: { _ in true })
    #expect(findings.orphans == [page[0].chunk] && findings.surplus.isEmpty && findings.kept == 4)
  }
}

/// Where the sweep is, by an injected clock.
@Suite struct SweepWalkTests {
  private let start = ContinuousClock.now
  private let groups = [1, 2, 5].map { GroupID(rawValue: $0) }

  private func visit(_ walk: inout SweepWalk, at time: Duration) -> SweepWalk.Visit? {
    if case .window(let visit) = walk.next(now: start + time, groups: { groups }) { visit } else { nil }
  }

  @Test func `the first check can be hurried, once`() {
    var walk = SweepWalk(period: .seconds(86_400), startedAt: start)
    guard case .wait = walk.next(now: start, groups: { groups }) else {
      Issue.record("the nodes have time to come back")
      return
    }
    walk.hurryFirst()
    for number in 1...groups.count {
      guard let visit = visit(&walk, at: .zero) else {
        Issue.record("somebody waits for it")
        return
      }
      #expect(walk.pause == .zero && visit.group == groups[number - 1])
      walk.hurryFirst()
      #expect(self.visit(&walk, at: .zero) == visit, "it does not begin anew")
      walk.swept(visit, to: nil, SweepPlan.Findings(), now: start)
    }
    #expect(walk.last?.isClean == true)
    walk.hurryFirst()
    guard case .wait = walk.next(now: start, groups: { groups }) else {
      Issue.record("there was a check")
      return
    }
  }

  @Test func `a pass takes each group window by window, begins when due and is begun again by a person`() {
    var walk = SweepWalk(period: .seconds(86_400), startedAt: start)
    #expect(visit(&walk, at: .seconds(119)) == nil)
    var findings = SweepPlan.Findings()
    findings.living = 10
    findings.orphans = [ChunkID(inode: .root, index: 1)]
    let cursor = ChunkID(inode: .root, index: 7)
    var seen: [GroupID] = []
    while let visit = visit(&walk, at: .seconds(120)), seen.count < 50 {
      // A short one, for nothing is known of what is missing until the pass has ended; a group's windows have none.
      #expect(walk.pause == (visit.after == nil ? .seconds(1) : .zero))
      seen.append(visit.group)
      let end = visit.after == nil ? cursor : nil
      walk.swept(visit, to: end, findings, now: start + .seconds(601))
      walk.swept(visit, to: end, findings, now: start + .seconds(601))
    }
    #expect(seen == groups.flatMap { [$0, $0] }, "told twice of one window, it counts once")
    #expect(walk.last?.groups == 3 && walk.last?.chunks == 60 && walk.last?.orphans == 6)
    #expect(walk.last?.missing == 0 && walk.last?.number == 1)
    #expect(visit(&walk, at: .seconds(86_399)) == nil)
    // A window that is under way when a person wants a new pass counts for neither.
    let old = visit(&walk, at: .seconds(87_001))
    #expect(walk.pause == .seconds(5))
    walk.hurry()
    if let old { walk.swept(old, to: nil, findings, now: start + .seconds(87_002)) }
    #expect(visit(&walk, at: .seconds(87_003))?.pass == 3 && walk.pause == .zero)
    #expect(visit(&walk, at: .seconds(87_003))?.group == groups[0])
  }

  @Test func `groups that could not be compared are visited again, and complete the result`() {
    var walk = SweepWalk(period: .seconds(3600), startedAt: start)
    walk.hurry()
    var number = 0
    while let visit = visit(&walk, at: .seconds(1)) {
      if number % 2 == 0 {
        walk.passOver(visit, now: start + .seconds(1))
      } else {
        walk.swept(visit, to: nil, SweepPlan.Findings(), now: start + .seconds(1))
      }
      number += 1
    }
    #expect(walk.last?.groups == 1 && walk.last?.skippedGroups == 2)
    #expect(visit(&walk, at: .seconds(60)) == nil)
    var again: [GroupID] = []
    while let visit = visit(&walk, at: .seconds(62)) {
      again.append(visit.group)
      // A row that changes under each attempt ends in a later visit, too.
      if visit.group == groups[0] {
        walk.again(visit, now: start + .seconds(62))
      } else {
        walk.swept(visit, to: nil, SweepPlan.Findings(), now: start + .seconds(63))
      }
    }
    #expect(again == [groups[0], groups[0], groups[0], groups[2]])
    #expect(walk.last?.groups == 2 && walk.last?.skippedGroups == 1 && walk.last?.number == 1)
    #expect(walk.last?.endedAt == start + .seconds(63))
    #expect(visit(&walk, at: .seconds(124))?.group == groups[0])
  }

  @Test func `a group with missing chunks is visited again, and what came back is missing no longer`() {
    var walk = SweepWalk(period: .seconds(3600), startedAt: start)
    walk.hurry()
    var findings = SweepPlan.Findings()
    findings.living = 5
    while let visit = visit(&walk, at: .seconds(1)) {
      findings.missing = visit.group == groups[1] ? [3, 4].map { ChunkID(inode: .root, index: $0) } : []
      walk.swept(visit, to: nil, findings, now: start + .seconds(1))
    }
    #expect(walk.last?.missing == 2 && walk.last?.chunks == 15)
    let first = walk.last
    // Still missing, or out of contact: no news.
    for (time, isThere) in [(62, true), (123, false)] {
      let again = visit(&walk, at: .seconds(time))
      #expect(again?.group == groups[1])
      guard let again else { continue }
      if isThere {
        walk.swept(again, to: nil, lack(of: 2), now: start + .seconds(time))
      } else {
        walk.passOver(again, now: start + .seconds(time))
      }
      #expect(walk.last == first)
      #expect(visit(&walk, at: .seconds(time + 1)) == nil)
    }
    guard let back = visit(&walk, at: .seconds(184)) else { return #expect(Bool(false)) }
    walk.swept(back, to: nil, lack(of: 0), now: start + .seconds(184))
    #expect(walk.last?.missing == 0 && walk.last?.missingNamed == [] && walk.last?.chunks == 15)
    #expect(walk.last?.groups == 3 && walk.last?.endedAt == start + .seconds(184))
    #expect(visit(&walk, at: .seconds(300)) == nil)
  }

  private func lack(of missing: UInt32) -> SweepPlan.Findings {
    var findings = SweepPlan.Findings()
    findings.missing = (0..<missing).map { ChunkID(inode: .root, index: 3 + $0) }
    return findings
  }

  @Test func `strays are searched node by node and page by page; a silent node waits for the next time`() {
    var walk = StrayWalk(period: .seconds(86_400), startedAt: start)
    let nodes = [1, 2, 3].map { NodeID(rawValue: $0) }
    #expect(walk.next(now: start, nodes: { nodes }) == .wait(.seconds(600)))
    walk.hurry()
    var steps: [StrayWalk.Next] = []
    var findings = StrayPlan.Findings()
    findings.kept = 2
    while steps.count < 50 {
      let next = walk.next(now: start, nodes: { nodes })
      steps.append(next)
      switch next {
      case .wait: break
      case .groups(let node, let after):
        if node == nodes[1] {
          walk.leaveNode()
        } else {
          walk.listed(after == nil ? [groups[0]] : [groups[1]], last: groups[0], more: after == nil)
        }
        continue
      case .page(_, _, let after):
        walk.looked(to: after == nil ? ChunkID(inode: .root, index: 1) : nil, findings)
        continue
      }
      break
    }
    #expect(walk.passes == 1 && walk.last?.strays == 16 && steps.count == 14)
  }
}

private func entry(_ chunk: ChunkID) -> InventoryEntry { entry(chunk, root: 1) }
private func entry(_ chunk: ChunkID, root: UInt8) -> InventoryEntry {
  InventoryEntry(chunk: chunk, length: 65536, root: ScriptedChunks.root(root))
}

/// What the metadata says of the copy that the entry is.
private func reference(_ entry: InventoryEntry) -> ChunkReference {
  ChunkReference(
    index: entry.chunk.index, group: GroupID(rawValue: 1), length: entry.length, root: entry.root)
}
