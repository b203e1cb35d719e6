import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

/// The deciding values of repair.
@Suite struct ReconcileTests {
  private let group = GroupID(rawValue: 7)
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }
  private func chunk(_ number: Int) -> ChunkID {
    ChunkID(inode: InodeID(rawValue: UInt64(number / 8)), index: UInt32(number % 8))
  }
  private func root(_ number: Int) -> Digest {
    let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 32)
    guard let digest = Digest(bytes) else { preconditionFailure("32 bytes") }
    return digest
  }
  private func reference(_ number: Int, length: UInt32 = 100) -> ChunkReference {
    ChunkReference(index: UInt32(number % 8), group: group, length: length, root: root(number))
  }

  /// One page of what `node` has after a chunk, as a node answers.
  private func inventory(
    _ node: UInt64, _ role: GroupInventory.Role, _ held: Set<Int>, after: ChunkID?, page: Int
  ) -> GroupInventory {
    let rest = held.sorted().filter { number in after.map { chunk(number) > $0 } ?? true }
    let listed = rest.prefix(page)
    let replicas = Dictionary(
      uniqueKeysWithValues: listed.map {
        (chunk($0), GroupInventory.Replica(length: 100, root: root($0)))
      })
    return GroupInventory(
      node: self.node(node), role: role, replicas: replicas,
      end: rest.count > listed.count ? listed.last.map { chunk($0) } : nil)
  }

  @Test func `pages of any size order each missing replica once, from somebody who has it`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<200 {
      let count = Int.random(in: 0...60, using: &random)
      func some(_ percent: Int) -> Set<Int> {
        Set((0..<count).filter { _ in Int.random(in: 0..<100, using: &random) < percent })
      }
      var held: [UInt64: Set<Int>] = [1: some(90), 2: some(90), 3: some(40), 4: some(10)]
      let targets = [node(3), node(4)]
      let indexed = some(80)
      let open = Set((0..<count).map { chunk($0).inode }.filter { $0.rawValue % 3 == 0 })
      let alive = indexed.union((0..<count).filter { open.contains(chunk($0).inode) })
      let sourced = alive.filter { number in held.values.contains { $0.contains(number) } }
      var unsourced: Set<ChunkID> = []
      var after: ChunkID?
      var pages = 0
      repeat {
        let page = Int.random(in: 1...9, using: &random)
        let rest = indexed.sorted().filter { number in after.map { chunk(number) > $0 } ?? true }
        let step = ReconcilePage(
          inventories: held.sorted { $0.key < $1.key }.map {
            inventory($0.key, $0.key < 3 ? .full : .partial, $0.value, after: after, page: page)
          }, targets: targets, indexed: rest.prefix(page).map(chunk), isIndexEnd: rest.count <= page)
        let references = Dictionary(
          uniqueKeysWithValues: step.named.map { id in
            (id, reference(Int(id.inode.rawValue) * 8 + Int(id.index)))
          })
        var limits = ReconcilePage.Limits()
        limits.copies = Int.random(in: 1...5, using: &random)
        let plan = step.plan(references: references, open: open, limits: limits, loads: [:])
        for (taker, orders) in plan.orders {
          #expect(orders.count <= limits.copies)
          #expect(orders.map(\.chunk) == orders.map(\.chunk).sorted())
          for order in orders {
            let number = Int(order.chunk.inode.rawValue) * 8 + Int(order.chunk.index)
            #expect(order.sources.allSatisfy { held[$0.rawValue]?.contains(number) == true })
            #expect(held[taker.rawValue]?.insert(number).inserted == true, "ordered twice")
          }
        }
        unsourced.formUnion(plan.unsourced)
        if let end = plan.end { #expect(after.map { end > $0 } ?? true, "it gets ahead") }
        after = plan.end
        pages += 1
      } while after != nil && pages < 500
      #expect(after == nil)
      for target in [3, 4] as [UInt64] {
        #expect(sourced.isSubset(of: held[target] ?? []), "seed \(random.seed)")
      }
      let nowhere = indexed.filter { number in !sourced.contains(number) }
      #expect(unsourced == Set(nowhere.map(chunk)))
    }
  }

  @Test func `a replica with another root is no source, and full members come first`() throws {
    let replica = GroupInventory.Replica(length: 100, root: root(1))
    let wrong = GroupInventory.Replica(length: 100, root: root(2))
    func inventory(_ number: UInt64, _ role: GroupInventory.Role, _ replica: GroupInventory.Replica?)
      -> GroupInventory
    {
      GroupInventory(
        node: node(number), role: role, replicas: replica.map { [chunk(1): $0] } ?? [:], end: nil)
    }
    let page = ReconcilePage(
      inventories: [
        inventory(1, .full, wrong), inventory(2, .partial, replica), inventory(3, .full, replica),
        inventory(4, .former, replica), inventory(5, .full, replica), inventory(6, .partial, nil),
      ], targets: [node(6)], indexed: [chunk(1)], isIndexEnd: true)
    let plan = page.plan(
      references: [chunk(1): reference(1)], open: [], limits: .init(), loads: [node(3): 500])
    #expect(plan.orders[node(6)]?.first?.sources == [5, 3, 2, 4].map(node))
  }

  @Test func `a member with another content under a chunk's id gets the chunk`() throws {
    func inventory(_ number: UInt64, _ role: GroupInventory.Role, _ replica: GroupInventory.Replica)
      -> GroupInventory
    {
      GroupInventory(node: node(number), role: role, replicas: [chunk(1): replica], end: nil)
    }
    let right = GroupInventory.Replica(reference(1))
    let page = ReconcilePage(
      inventories: [
        inventory(1, .full, right), inventory(2, .partial, .init(length: 100, root: root(2))),
        inventory(3, .partial, .init(length: 99, root: root(1))), inventory(4, .partial, right),
      ], targets: [2, 3, 4].map(node), indexed: [chunk(1)], isIndexEnd: true)
    let references = [chunk(1): reference(1)]
    #expect(page.missing(references) == [chunk(1)])
    let plan = page.plan(references: references, open: [], limits: .init(), loads: [:])
    #expect(Set(plan.orders.keys) == Set([2, 3].map(node)))
    #expect(plan.orders[node(2)]?.first?.sources == [1, 4].map(node))
    #expect(plan.unsourced.isEmpty)
  }

  @Test func `a step is bounded in bytes, and takes one chunk at least`() throws {
    let held = Set(0..<10)
    let page = ReconcilePage(
      inventories: [
        inventory(1, .full, held, after: nil, page: 100), inventory(2, .partial, [], after: nil, page: 100),
      ], targets: [node(2)], indexed: held.sorted().map(chunk), isIndexEnd: true)
    let references = Dictionary(uniqueKeysWithValues: held.map { (chunk($0), reference($0)) })
    var limits = ReconcilePage.Limits()
    limits.bytes = 250
    var plan = page.plan(references: references, open: [], limits: limits, loads: [:])
    #expect(plan.orders[node(2)]?.count == 3 && plan.end == chunk(2))
    limits.bytes = 1
    plan = page.plan(references: references, open: [], limits: limits, loads: [:])
    #expect(plan.orders[node(2)]?.count == 1 && plan.end == chunk(0))
  }

  private func row(_ states: [SlotState]) -> PlacementGroup {
    PlacementGroup(
      id: group, epoch: GroupEpoch(rawValue: 4), policy: PlacementPolicy(replicas: UInt8(states.count)),
      slots: states.enumerated().map {
        $1 == .vacant ? .vacant : GroupSlot(node: node(UInt64($0 + 1)), state: $1)
      })
  }

  @Test func `a pass promotes who has no flaw, at the epoch and revision it began with`() throws {
    let row = row([.full, .filling, .behind])
    var pass = ReconcilePass(
      row: row, targets: [node(2), node(3)], since: Revision(rawValue: 50))
    pass.took(ReconcilePage.Plan(end: chunk(3), wanted: 4), unheard: .init())
    #expect(pass.after == chunk(3))
    pass.flaw(node(3), "no answer")
    pass.took(ReconcilePage.Plan(end: nil, wanted: 2), unheard: .init())
    #expect(pass.verdict == .promote([node(2)], lost: []))
    let change = pass.promotion(of: [node(2)])
    #expect(change.expected == row.epoch && change.unlessMissedSince == Revision(rawValue: 50))
    #expect(change.slots.map(\.state) == [.full, .full, .behind])
    pass.flaw(node(2), "a copy failed")
    #expect(pass.verdict == .wait([node(2): "a copy failed", node(3): "no answer"]))
  }

  @Test func `a pass goes on without a target that is none any more, and not with another one`() {
    let row = row([.full, .filling, .behind, .filling])
    func fresh(_ targets: UInt64..., epoch: UInt64 = 4) -> ReconcilePass {
      var row = row
      row.epoch = GroupEpoch(rawValue: epoch)
      return ReconcilePass(row: row, targets: Set(targets.map(node)), since: .zero)
    }
    var pass = fresh(2, 3)
    pass.took(ReconcilePage.Plan(end: chunk(3), wanted: 4), unheard: .init())
    #expect(pass.continued(as: fresh(2, 3))?.after == chunk(3))
    #expect(pass.continued(as: fresh(3))?.targets == [node(3)])
    #expect(pass.continued(as: fresh(2, 3, 4)) == nil, "node 4 was not heard so far")
    #expect(pass.continued(as: fresh(4)) == nil && pass.continued(as: fresh(2, 3, epoch: 5)) == nil)

    let basis = pass.basis
    pass.leaveOut([node(2)])
    #expect(pass.targets == [node(3)] && pass.basis == basis)
    #expect(pass.continued(as: fresh(2, 3))?.targets == [node(3)], "that one gets another pass")
    #expect(pass.continued(as: fresh(2)) == nil)
    pass.leaveOut([node(3)])
    #expect(pass.targets == [node(3)], "a pass for nobody is none")
    pass.took(ReconcilePage.Plan(end: nil, wanted: 4), unheard: .init())
    #expect(pass.verdict == .promote([node(3)], lost: []))
  }

  @Test func `what a pass waits for is said where the absence of nodes is the only reason`() throws {
    var scene = MembershipScene()
    for number in 1...4 { try scene.register(scene.registration(UInt64(number))) }
    _ = try scene.pass(12, beating: [2, 3, 4])
    func obstacle(
      silent: Set<NodeID>, _ plan: ReconcilePage.Plan = .init(), flawed: UInt64? = nil
    ) -> RepairQueue.Obstacle {
      var pass = ReconcilePass(row: row([.full, .full, .behind]), targets: [node(3)], since: .zero)
      pass.looked(at: 20)
      pass.looked(at: 10)
      pass.made(2)
      if let flawed { pass.flaw(node(flawed), "no answer") }
      pass.took(plan, unheard: .init(silent: silent))
      return pass.obstacle(scene.membership)
    }
    let absence = obstacle(silent: [node(1)], flawed: 1)
    #expect(absence.isAbsenceAlone && absence.absent == [node(1)])
    #expect(absence.looks == 30 && absence.copied == 2 && absence.basis?.targets == [node(3)])
    #expect(!obstacle(silent: [node(2)]).isAbsenceAlone, "it is there and does not answer")
    #expect(!obstacle(silent: [node(1), node(2)]).isAbsenceAlone, "the one that is there may answer now")
    #expect(!obstacle(silent: [node(1)], flawed: 3).isAbsenceAlone, "a copy failed")
    let missing = obstacle(silent: [node(1)], .init(unsourced: [chunk(1)]))
    #expect(!missing.isAbsenceAlone, "any node may have it")
    #expect(missing.absent == [node(1)])
  }

  @Test func `nobody is promoted while a member was not asked, unless that is out`() throws {
    var scene = MembershipScene()
    for number in 1...4 { try scene.register(scene.registration(UInt64(number))) }
    _ = try scene.pass(12, beating: [2, 3, 4])
    func verdict(answered: [UInt64]) -> ReconcilePass.Verdict {
      var pass = ReconcilePass(row: row([.full, .full, .behind]), targets: [node(3)], since: .zero)
      let unheard = pass.unheard(but: answered.map(node), scene.membership)
      pass.took(ReconcilePage.Plan(end: chunk(1), wanted: 1), unheard: unheard)
      pass.took(ReconcilePage.Plan(end: nil, wanted: 1), unheard: .init())
      return pass.verdict
    }
    #expect(verdict(answered: [1, 2, 3]) == .promote([node(3)], lost: []))
    guard case .wait(let reasons) = verdict(answered: [2, 3]) else {
      Issue.record("node 1 may have a chunk that is not sealed yet")
      return
    }
    #expect(reasons[node(3)]?.contains("\(node(1))") == true)
    _ = try scene.pass(60, beating: [2, 3, 4])
    #expect(scene.life(1) == .out)
    #expect(verdict(answered: [2, 3]) == .promote([node(3)], lost: []))
    guard case .wait = verdict(answered: [3]) else {
      Issue.record("node 2 is there and did not answer")
      return
    }
  }

  @Test func `what is nowhere is looked for twice, and by asking everybody`() throws {
    let targets: Set<NodeID> = [node(2)]
    func pass(before: Set<ChunkID>, unheard: ReconcilePass.Unheard = .init()) -> ReconcilePass {
      var pass = ReconcilePass(
        row: row([.full, .filling, .full]), targets: targets, since: .zero, missedBefore: before)
      pass.took(ReconcilePage.Plan(unsourced: [chunk(5)], end: nil, wanted: 9), unheard: unheard)
      return pass
    }
    #expect(pass(before: []).verdict == .lookAgain)
    #expect(pass(before: [chunk(4)]).verdict == .lookAgain)
    #expect(pass(before: [chunk(5)]).verdict == .promote([node(2)], lost: [chunk(5)]))
    for unheard in [ReconcilePass.Unheard(silent: [node(9)]), ReconcilePass.Unheard(gone: [node(1)])] {
      guard case .wait = pass(before: [chunk(5)], unheard: unheard).verdict else {
        Issue.record("a node that was not asked may have it: \(unheard)")
        continue
      }
    }
  }

  @Test func `nobody becomes full without a sealed chunk of an upload that may still be committed`() throws {
    let page = ReconcilePage(
      inventories: [
        inventory(1, .partial, [0], after: nil, page: 9), inventory(2, .partial, [0], after: nil, page: 9),
      ], targets: [node(1), node(2)], indexed: [chunk(0), chunk(9)], isIndexEnd: true)
    #expect(page.missing([chunk(0): reference(0), chunk(9): reference(9)]) == [chunk(9)])
    func verdict(open: Set<InodeID>) -> ReconcilePass.Verdict {
      let plan = page.plan(references: [chunk(9): reference(9)], open: open, limits: .init(), loads: [:])
      var pass = ReconcilePass(
        row: row([.behind, .behind]), targets: [node(1), node(2)], since: .zero, missedBefore: [chunk(9)])
      pass.took(plan, unheard: .init())
      return pass.verdict
    }
    #expect(verdict(open: []) == .promote([node(1), node(2)], lost: [chunk(9)]))
    guard case .wait(let reasons) = verdict(open: [chunk(9).inode]) else {
      Issue.record("its commit would count two full members")
      return
    }
    #expect(reasons[node(1)]?.contains("\(chunk(9).inode)") == true)
  }

  @Test func `groups on their last copy come first, each node gets a few at a time, failures wait longer`()
    throws
  {
    let start = ContinuousClock.now
    var scene = MembershipScene()
    for number in 1...6 { try scene.register(scene.registration(UInt64(number))) }
    func row(_ id: UInt32, _ slots: [(UInt64, SlotState)]) -> PlacementGroup {
      PlacementGroup(
        id: GroupID(rawValue: id), epoch: GroupEpoch(rawValue: 1), policy: PlacementPolicy(replicas: 3),
        slots: slots.map { GroupSlot(node: node($0.0), state: $0.1) })
    }
    let table = SlotTable([
      row(1, [(1, .full), (2, .full), (3, .filling)]), row(2, [(1, .full), (2, .behind), (3, .filling)]),
      row(3, [(1, .behind), (2, .behind), (3, .filling)]), row(4, [(1, .full), (2, .full), (3, .full)]),
      row(5, [(1, .full), (2, .full), (4, .behind)]),
    ])
    var queue = RepairQueue()
    queue.limits.groupsPerTarget = 1
    queue.fill(table, scene.membership, now: start)
    let next = queue.next()
    let first = try #require(next)
    #expect(first.group.rawValue == 2, "one copy")
    let second = queue.next()
    #expect(second?.group.rawValue == 5, "node 3 is busy, node 4 is not")
    let third = queue.next()
    #expect(third?.group.rawValue == 3, "node 1 is free; a group without a copy comes last")
    let none = queue.next()
    #expect(none == nil && queue.runningCount == 3)
    let version = scene.membership.version
    if let third { queue.end(third, .failed(.init()), membership: version, now: start) }
    queue.end(first, .failed(.init()), membership: version, now: start)
    /// Everything that may run, and gives it back as if it had been finished.
    func runnable(_ membership: Membership, at now: ContinuousClock.Instant) -> [UInt32] {
      queue.fill(table, membership, now: now)
      var entries: [RepairQueue.Entry] = []
      while let entry = queue.next() { entries.append(entry) }
      for entry in entries where entry.group.rawValue != 2 {
        queue.end(entry, .finished, membership: version, now: now)
      }
      for entry in entries where entry.group.rawValue == 2 {
        queue.end(entry, .failed(.init()), membership: version, now: now)
      }
      return entries.map(\.group.rawValue)
    }
    #expect(runnable(scene.membership, at: start) == [1])
    #expect(runnable(scene.membership, at: start + .seconds(1)).first == 2)
    #expect(!runnable(scene.membership, at: start + .seconds(2)).contains(2), "twice as long the second time")
    // A node that was lost or came back changes the matter.
    _ = try scene.register(scene.registration(4, boot: 2))
    #expect(runnable(scene.membership, at: start + .seconds(2)).first == 2)
  }

  @Test func `members out of contact and suspect ones are no targets`() throws {
    var scene = MembershipScene()
    for number in 1...3 { try scene.register(scene.registration(UInt64(number))) }
    #expect(
      ReconcilePass.targets(of: row([.full, .behind, .filling]), scene.membership) == [node(2), node(3)])
    #expect(try scene.foundBad(1000, of: 3))
    _ = try scene.pass(10, beating: [1, 3])
    #expect(ReconcilePass.targets(of: row([.full, .behind, .filling]), scene.membership).isEmpty)
  }

  @Test func `the book of repair counts what is left and how fast it goes`() throws {
    var book = RepairBook()
    let start = ContinuousClock.now
    book.counted(RepairBook.Left(chunks: 10, bytes: 1000), of: group)
    for second in 0..<20 {
      book.copied(chunks: 1, bytes: 100, of: group, now: start + .seconds(second))
    }
    #expect(book.repairedChunks == 20 && book.repairedBytes == 2000)
    #expect(book.left(of: group) == RepairBook.Left(chunks: 0, bytes: 0))
    #expect(book.bytesPerSecond(now: start + .seconds(19)) == 100)
    #expect(book.bytesPerSecond(now: start + .seconds(60)) == 0)
    book.copied(chunks: 1, bytes: 0, of: group, now: start)
    #expect(book.repairedChunks == 20, "what was there already was not repaired")
    book.lost([chunk(1), chunk(2)], of: group)
    #expect(book.lostChunks == 2 && book.lostNamed(1) == [chunk(1)])
    book.lost([], of: group)
    #expect(book.lostChunks == 0)
  }
}
