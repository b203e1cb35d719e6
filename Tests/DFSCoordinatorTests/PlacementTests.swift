import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

struct GroupPlannerTests {
  @Test(arguments: [1, 2, 3, 4, 7], [1, 2, 3] as [UInt8])
  func `a table for any number of nodes and replicas is whole, level, or refused with advice`(
    count: Int, replicas: UInt8
  ) throws {
    var scene = PlanScene()
    scene.join(count)
    guard count >= Int(replicas) / 2 + 1 else {
      let error = #expect(throws: DFSError.self) { try scene.plan(replicas: replicas) }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message.contains("start 1 more") == true)
      return
    }
    _ = try scene.plan(replicas: replicas)
    scene.checkGroups()
    let groups = scene.groups(replicas)
    #expect(groups.count == max(64, 100 * count / Int(replicas)))
    let vacant = max(0, Int(replicas) - count)
    #expect(groups.allSatisfy { $0.slots.count { $0.state == .vacant } == vacant })
    #expect(groups.allSatisfy { $0.slots.allSatisfy { $0.state == .full || $0.state == .vacant } })
    let loads = scene.loads(replicas)
    #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 2, "loads \(loads)")
    #expect(try scene.plan(replicas: replicas).isEmpty, "a second plan finds nothing to do")
  }

  @Test func `capacity weights the slots`() throws {
    var scene = PlanScene()
    scene.join(4, capacity: .gib(100))
    scene.join(1, capacity: .gib(200))
    _ = try scene.plan(replicas: 2)
    let loads = scene.loads(2)
    #expect(abs(loads[4] - 2 * loads[0]) <= 6, "loads \(loads)")
  }

  @Test func `two slots are never in one zone where there are enough zones, even when a zone is away`() throws
  {
    var scene = PlanScene()
    scene.join(6) { ["a", "b", "c"][$0 % 3] }
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    scene.absent = [NodeID(rawValue: 3), NodeID(rawValue: 6)]
    scene.rules.fewestGroups = 400
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    let late = scene.groups(3).dropFirst(200)
    #expect(late.allSatisfy { $0.slots.count { $0.state == .vacant } == 1 })
  }

  @Test func `with fewer zones than replicas the members spread over the zones as evenly as they can`() throws
  {
    var scene = PlanScene()
    scene.join(6) { $0 < 3 ? "a" : "b" }
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    for group in scene.groups(3) {
      let inA = group.members.count { $0.rawValue <= 3 }
      #expect(inA == 1 || inA == 2)
    }
  }

  @Test func `the next node fills vacant slots, as filling where the group has chunks`() throws {
    var scene = PlanScene()
    scene.join(2)
    _ = try scene.plan(replicas: 3)
    let ids = scene.table.groups(replicas: 3)
    scene.filled = Set(ids.prefix(10))
    scene.join(1)
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    #expect(scene.table.groups(replicas: 3).starts(with: ids))
    for group in scene.groups(3) {
      let state: SlotState = scene.filled.contains(group.id) ? .filling : .full
      #expect(group.slots.map(\.state) == [.full, .full, state])
    }
  }

  @Test func `growth moves slots of empty groups only, and never ids`() throws {
    var scene = PlanScene()
    scene.join(3)
    _ = try scene.plan(replicas: 3)
    let before = scene.table.groups
    let filled = before.keys.sorted().prefix(40)
    scene.filled = Set(filled)
    scene.join(1)
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    for id in before.keys {
      let members = scene.table[id]?.members
      if scene.filled.contains(id) { #expect(members == before[id]?.members) }
      #expect(scene.table[id]?.slots.allSatisfy { $0.state == .full } == true)
    }
    #expect(scene.groups(3).count == 133)
    #expect(scene.loads(3)[3] >= 80, "the new node takes its share: \(scene.loads(3))")
  }

  @Test func `growth of a wholly empty table levels it`() throws {
    var scene = PlanScene()
    scene.join(3)
    _ = try scene.plan(replicas: 3)
    for _ in 0..<4 {
      scene.join(1)
      _ = try scene.plan(replicas: 3)
    }
    scene.checkGroups()
    let loads = scene.loads(3)
    #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 4, "loads \(loads)")
  }

  @Test func `every pair of seven nodes shares a group, so repair is many to many`() throws {
    var scene = PlanScene()
    scene.join(7)
    _ = try scene.plan(replicas: 3)
    for first in scene.nodes {
      for second in scene.nodes where first.node < second.node {
        #expect(
          scene.groups(3).contains { $0.members.contains(first.node) && $0.members.contains(second.node) })
      }
    }
  }

  @Test func `policies have groups of their own`() throws {
    var scene = PlanScene()
    scene.join(5)
    for replicas in 1...5 { _ = try scene.plan(replicas: UInt8(replicas)) }
    scene.checkGroups()
    #expect((1...5).allSatisfy { scene.groups(UInt8($0)).count >= 64 })
    #expect(Set(scene.table.groups.keys).count == scene.table.count)
  }

  @Test func `the table ends where it must`() throws {
    var scene = PlanScene()
    scene.join(7)
    scene.rules.mostGroups = 100
    _ = try scene.plan(replicas: 3)
    _ = try scene.plan(replicas: 2)
    #expect(scene.table.count == 100)
  }

  @Test func `a thousand nodes are planned`() throws {
    var scene = PlanScene()
    scene.rules.slotsPerNode = 6
    scene.join(1000) { "z\($0 % 20)" }
    _ = try scene.plan(replicas: 3)
    #expect(scene.groups(3).count == 2000)
    scene.checkGroups()
  }
}

struct SlotTableTests {
  private func group(_ id: UInt32, epoch: UInt64, _ nodes: [UInt64]) -> PlacementGroup {
    PlacementGroup(
      id: GroupID(rawValue: id), epoch: GroupEpoch(rawValue: epoch),
      policy: PlacementPolicy(replicas: UInt8(nodes.count)),
      slots: nodes.map { GroupSlot(node: NodeID(rawValue: $0), state: .full) })
  }

  @Test func `an older row never replaces a newer one`() {
    var table = SlotTable([group(1, epoch: 3, [1, 2])])
    let isNew = table.apply(group(1, epoch: 2, [1, 3]))
    #expect(!isNew)
    #expect(table[GroupID(rawValue: 1)]?.members.map(\.rawValue) == [1, 2])
    #expect(table.slotCount(of: NodeID(rawValue: 3)) == 0)
  }

  @Test func `a node is told of each change of its groups once, in pages`() {
    var table = SlotTable((1...5).map { group($0, epoch: 1, [1, 2]) })
    let node = NodeID(rawValue: 1)
    var page = table.changes(of: node, since: 0, limit: 3)
    #expect(page.groups.map(\.id.rawValue) == [1, 2, 3])
    page = table.changes(of: node, since: page.version, limit: 3)
    #expect(page.groups.map(\.id.rawValue) == [4, 5])
    #expect(table.changes(of: node, since: page.version, limit: 3).groups.isEmpty)
    table.apply(group(2, epoch: 2, [1, 3]))
    #expect(table.changes(of: node, since: page.version, limit: 3).groups.map(\.id.rawValue) == [2])
    #expect(table.slotCount(of: NodeID(rawValue: 2)) == 4)
    #expect(table.slotCount(of: NodeID(rawValue: 3)) == 1)
  }
}

struct ChunkAllocatorTests {
  private let start = ContinuousClock.now

  private func membership(_ count: Int, silent: Set<Int> = [], full: Set<Int> = []) throws -> Membership {
    let cluster = ClusterID(rawValue: 1)
    var membership = Membership(records: [], startedAt: start)
    for index in 1...count {
      let registration = Registration(
        node: NodeID(rawValue: UInt64(index)), store: StoreID(rawValue: UInt64(index)),
        boot: BootID(rawValue: 1), cluster: nil, address: Endpoint(host: "h", port: 1), capacity: .gib(1))
      let authority = Membership.Authority(cluster: cluster, epoch: .zero, revision: .zero)
      let record = try membership.admit(registration, authority: authority, newKey: [])
      _ = membership.register(registration, record: record, now: start)
    }
    for index in 1...count where !silent.contains(index) {
      _ = try membership.heartbeat(
        NodeReport(
          node: NodeID(rawValue: UInt64(index)), boot: BootID(rawValue: 1), capacity: .gib(1),
          free: .mib(500),
          isWritable: !full.contains(index)), now: start + .seconds(20))
    }
    _ = membership.tick(now: start + .seconds(20))
    return membership
  }

  private func table(_ nodes: Int, replicas: UInt8, generator: inout SeededGenerator) throws -> SlotTable {
    let candidates = (1...nodes).map {
      GroupPlanner.Candidate(
        node: NodeID(rawValue: UInt64($0)), zone: .alone(NodeID(rawValue: UInt64($0))), capacity: .gib(1))
    }
    let planner = GroupPlanner(
      policy: PlacementPolicy(replicas: replicas), candidates: candidates,
      zones: Dictionary(uniqueKeysWithValues: candidates.map { ($0.node, $0.zone) }), isEmpty: { _ in true })
    return SlotTable(
      try planner.plan(SlotTable(), using: &generator).map {
        PlacementGroup(id: $0.id, epoch: GroupEpoch(rawValue: 1), policy: $0.policy, slots: $0.slots)
      })
  }

  @Test func `chunks avoid groups with a silent or full member while whole ones exist`() throws {
    var generator = SeededGenerator()
    print("seed \(generator.seed)")
    let table = try table(7, replicas: 3, generator: &generator)
    let allocator = ChunkAllocator(
      policy: .standard, table: table, membership: try membership(7, silent: [2], full: [5]))
    let groups = try allocator.choose(200, seed: 3, using: &generator)
    #expect(groups.count == 200)
    let members = Set(groups.flatMap { table[$0]?.members ?? [] }.map(\.rawValue))
    #expect(members.isDisjoint(with: [2, 5]))
    #expect(Set(groups).count > 3)
  }

  @Test func `with one of three nodes silent writes go on at the quorum, with two they are refused`() throws {
    var generator = SeededGenerator()
    let table = try table(3, replicas: 3, generator: &generator)
    let one = ChunkAllocator(policy: .standard, table: table, membership: try membership(3, silent: [1]))
    #expect(try one.choose(8, seed: 0, using: &generator).count == 8)
    let two = ChunkAllocator(policy: .standard, table: table, membership: try membership(3, silent: [1, 2]))
    let error = #expect(throws: DFSError.self) { try two.choose(1, seed: 0, using: &generator) }
    #expect(error?.code == .unavailable)
  }

  @Test func `avoided groups are used only where there is nothing else`() throws {
    var generator = SeededGenerator()
    let table = try table(3, replicas: 3, generator: &generator)
    let members = try membership(3)
    let avoided = Set(table.groups(replicas: 3).dropLast(2))
    let allocator = ChunkAllocator(policy: .standard, table: table, membership: members)
    let some = try allocator.choose(50, avoiding: avoided, seed: 9, using: &generator)
    #expect(Set(some).isDisjoint(with: avoided))
    let all = try allocator.choose(50, avoiding: Set(table.groups.keys), seed: 9, using: &generator)
    #expect(all.count == 50)
  }

  @Test func `one upload keeps to a bounded window of groups`() throws {
    var generator = SeededGenerator()
    let table = try table(7, replicas: 3, generator: &generator)
    let allocator = ChunkAllocator(policy: .standard, table: table, membership: try membership(7))
    var groups: Set<GroupID> = []
    for _ in 0..<64 {
      groups.formUnion(try allocator.choose(8, keeping: groups, seed: 77, using: &generator))
    }
    #expect(groups.count == ChunkAllocator.window)
  }

  @Test func `a page never names more groups than it may, whatever fails while it is filled`() throws {
    var generator = SeededGenerator()
    print("seed \(generator.seed)")
    let table = try table(7, replicas: 3, generator: &generator)
    var named: Set<GroupID> = []
    for round in 0..<64 {
      let silent: Set<Int> = [round % 7 + 1]
      let allocator = ChunkAllocator(
        policy: .standard, table: table, membership: try membership(7, silent: silent))
      let avoided = Set(table.groups.keys.shuffled(using: &generator).prefix(40))
      let seed = generator.next()
      named.formUnion(
        try allocator.choose(8, avoiding: avoided, keeping: named, seed: seed, using: &generator))
      #expect(named.count <= ChunkAllocator.mostNamed)
    }
  }
}
