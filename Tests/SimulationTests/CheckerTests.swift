import DFSCore
import DFSKeyValue
import Testing

@testable import DFSCoordinator
@testable import DFSMetadata

/// A checker that can not fail proves nothing: each of them meets the defect that it is for.
struct CheckerTests {
  /// Runs seeds until one of `names` is broken.
  private func expect(
    _ names: Set<String>, seeds: UInt64 = 8, of scenario: Scenario, _ what: Comment
  ) {
    var found: [Violation] = []
    for seed in 1...seeds {
      found = Simulation(seed: seed, scenario).run()
      if let first = found.first, names.contains(first.invariant) { return }
      guard found.isEmpty else { break }
    }
    Issue.record("\(what) was not found; instead: \(found)")
  }

  private func scene(_ faults: [(FaultKind, Int)] = [], every: Span = .seconds(30)) -> Scenario {
    var scenario = Scenario()
    scenario.machines = 6
    scenario.storm = .minutes(12)
    scenario.rest = .minutes(4)
    scenario.trash = .milliseconds(0)
    scenario.faults.kinds = faults
    scenario.faults.every = faults.isEmpty ? nil : every
    return scenario
  }

  @Test func `a planner that puts two members into one zone is caught`() {
    var scenario = scene()
    scenario.planted.plan = { changes, world in
      changes.map { change in
        var change = change
        guard let first = change.slots[0].node, let zone = world.zone(of: first) else { return change }
        let neighbours = world.truth.nodes.keys.sorted().filter {
          $0 != first && world.zone(of: $0) == zone && !change.slots.compactMap(\.node).contains($0)
        }
        if let neighbour = neighbours.first { change.slots[1] = GroupSlot(node: neighbour, state: .full) }
        return change
      }
    }
    expect(["never two copies in one zone"], of: scenario, "a crowded zone")
  }

  @Test func `a reaper that takes what is alive is caught`() {
    var scenario = scene()
    scenario.planted.nextCondemned = { namespace, previous in
      guard previous == nil, namespace.counts.files > 3 else { return nil }
      let view = try namespace.view()
      var found: ReapPage?
      try view.reader.scan(KeyRange(prefix: Array("i/".utf8))) { key, value in
        let inode = InodeID(rawValue: try Keys.number(key, at: 2))
        guard case .file(let file) = try InodeRecord(stored: Array(value)),
          case .chunks(let chunks) = file.contents
        else { return .goOn }
        found = ReapPage(
          notBefore: .zero, inode: inode, kind: .version, cursor: 0,
          chunks: chunks.map {
            CondemnedChunk(group: $0.group, chunk: ChunkID(inode: inode, index: $0.index))
          })
        return .stop
      }
      return found
    }
    expect(
      ["no living chunk is deleted", "the last good copy is never removed"], of: scenario, "a living chunk")
  }

  @Test func `a reaper that ignores pins is caught`() {
    var scenario = scene()
    scenario.workload.slow = 600
    scenario.workload.every = .seconds(4)
    scenario.planted.nextCondemned = { namespace, previous in
      var view = try namespace.view()
      let reader = view.reader
      var found: ReapPage?
      var range = KeyRange(prefix: Keys.allCondemned)
      if let previous { range.start = Keys.condemned(previous.notBefore, previous.inode) + [0] }
      try reader.scan(range) { key, value in
        let time = ClusterTime(rawValue: Int64(clamping: try Keys.number(key, at: 2, as: UInt64.self)))
        guard time <= namespace.time else { return .stop }
        let inode = InodeID(rawValue: try Keys.number(key, at: 10))
        let record = try CondemnedRecord(stored: Array(value))
        found = ReapPage(
          notBefore: time, inode: inode, kind: record.kind, cursor: record.cursor,
          chunks: try view.chunks(ofCondemned: inode, record))
        return .stop
      }
      return found
    }
    expect(["a pinned version stays"], of: scenario, "a pinned version")
  }

  @Test func `a promotion without the check for what was missed is caught`() {
    var scenario = scene(
      [(.nodeRestart, 4), (.nodePause, 4), (.chunkMissing, 2), (.badNetwork, 2)], every: .seconds(15))
    scenario.faults.lostMessages = 20
    scenario.workload.every = .seconds(2)
    scenario.planted.verdict = { .promote($0.targets.sorted(), lost: []) }
    scenario.planted.promotion = { change in
      var change = change
      change.unlessMissedSince = nil
      return change
    }
    expect(["a full member has every living chunk"], of: scenario, "an early promotion")
  }

  @Test func `a ledger that forgets is caught`() {
    var scenario = scene([(.coordinatorRestart, 1)])
    scenario.planted.isLedgerSynced = false
    expect(
      ["an acknowledged version is durable", "one leader an epoch", "no dead id becomes alive"], of: scenario,
      "a lost round")
  }

  @Test func `metadata that goes back in time without a new incarnation is caught`() {
    var scenario = scene([(.metadataLost, 1)], every: .minutes(2))
    scenario.workload.every = .seconds(2)
    scenario.planted.raisesIncarnation = false
    expect(
      ["an acknowledged version is durable", "one leader an epoch", "no dead id becomes alive"], of: scenario,
      "an id that is given out again")
  }

  @Test func `strays that go before the members were looked at are caught`() {
    var scenario = scene([(.nodeStop, 3), (.drain, 2), (.chunkRot, 4)], every: .seconds(20))
    scenario.sweepPeriod = .minutes(1)
    scenario.planted.strays = { findings, plan in
      var findings = findings
      findings.surplus = plan.candidates.map(\.chunk)
      return findings
    }
    expect(["the last good copy is never removed"], of: scenario, "a stray that was needed")
  }

  @Test func `a trash that is emptied though there is space is caught`() {
    var scenario = scene()
    (scenario.capacity, scenario.trash) = (.mib(500), .minutes(10))
    scenario.planted.missing = { _ in .mib(1) }
    expect(["the trash keeps its time"], of: scenario, "an early purge")
  }

  @Test func `a receipt for what is not stored is caught`() {
    var scenario = scene()
    scenario.planted.isDurableBeforeReceipt = false
    expect(["no commit counts a non-member"], of: scenario, "an early receipt")
  }

  @Test func `a cluster that does not repair is caught`() {
    var scenario = scene([(.diskLost, 1), (.chunkMissing, 2)])
    scenario.planted.isRepairing = false
    expect(
      ["the copy count returns to its target", "nothing is lost while a copy survives"], of: scenario,
      "a lack of copies")
  }

  @Test func `a slot that moves away from its chunks is caught`() {
    var scenario = scene([(.nodeRestart, 1)], every: .minutes(2))
    scenario.machines = 8
    scenario.planted.isRepairing = false
    scenario.planted.plan = { changes, world in
      guard changes.isEmpty else { return changes }
      // Every group goes to three nodes that have nothing of it.
      return world.truth.groups.values.sorted { $0.id < $1.id }.prefix(1).compactMap { row in
        var taken: [NodeID] = []
        for node in world.truth.nodes.keys.sorted() where !row.members.contains(node) {
          guard taken.count < 3, !taken.contains(where: { world.zone(of: $0) == world.zone(of: node) })
          else { continue }
          taken.append(node)
        }
        guard taken.count == 3 else { return nil }
        return ChangeGroups.Change(
          id: row.id, expected: row.epoch, policy: row.policy,
          slots: taken.map { GroupSlot(node: $0, state: .full) })
      }
    }
    expect(
      ["nothing is lost while a copy survives", "the copy count returns to its target"], of: scenario,
      "chunks that nobody looks for")
  }

  @Test func `a store that loses, changes or brings back a chunk is caught`() throws {
    for breakage in [0, 1, 2, 3] {
      var scenario = Scenario()
      scenario.realStores = 1000
      let world = World(seed: 1, scenario: scenario)
      var stores = StoresKeepTheirWord()
      let (disk, group) = (world.newDisk(), GroupID(rawValue: 1))
      _ = try #require(disk.shelf).open()
      let chunk = ChunkID(inode: InodeID(rawValue: 9), index: 0)
      try disk.keep(chunk, in: group, world.newReplica(isLast: false))
      #expect(stores.observe(.storeOpened(disk), in: world) == nil)
      switch breakage {
      case 0: #expect(disk.shelf?.unlink(chunk, in: group) == true)
      case 1: #expect(disk.shelf?.flip(chunk, in: group, at: 700) == true)
      case 2: #expect(disk.shelf?.truncate(chunk, in: group, to: 700) == true)
      default: disk.forget(chunk, in: group)
      }
      #expect(stores.observe(.storeOpened(disk), in: world) != nil)
    }
  }

  @Test func `two leaders of one epoch are caught, and so is a node that obeys the older one`() {
    let world = World(seed: 1, scenario: Scenario())
    var leaders = OneLeaderPerEpoch()
    let (old, new) = (Epoch(incarnation: 1, term: 4), Epoch(incarnation: 1, term: 5))
    let (node, store) = (NodeID(rawValue: 1), StoreID(rawValue: 1))
    #expect(leaders.observe(.coordinatorLeads(old, 0), in: world) == nil)
    #expect(leaders.observe(.coordinatorLeads(old, 1), in: world) != nil)
    #expect(leaders.observe(.orderObeyed(new, node, store), in: world) == nil)
    #expect(leaders.observe(.orderObeyed(old, node, store), in: world) != nil)
  }

  @Test func `a holder that is no member is caught`() {
    let world = World(seed: 1, scenario: Scenario())
    var members = OnlyMembersCount()
    let chunk = ChunkID(inode: InodeID(rawValue: 9), index: 0)
    let holder = StoredChunk.Holder(node: NodeID(rawValue: 1), epoch: GroupEpoch(rawValue: 1))
    let counted = CountedChunk(chunk: chunk, group: GroupID(rawValue: 1), holders: [holder])
    #expect(members.observe(.chunksCounted([counted]), in: world) != nil)
  }

  @Test func `a dead id that is bound to a name is caught`() {
    let world = World(seed: 1, scenario: Scenario())
    var dead = DeadIDsStayDead()
    let inode = InodeID(rawValue: 9)
    #expect(dead.observe(.versionMade(inode), in: world) == nil)
    #expect(dead.observe(.condemned(inode, .version), in: world) == nil)
    #expect(dead.observe(.nameBound(inode), in: world) != nil)
  }
}
