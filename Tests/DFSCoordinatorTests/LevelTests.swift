import DFSCore
import DFSMetadata
import DFSWire
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSCoordinator

/// Which slots of groups with chunks go to nodes that have fewer.
@Suite struct `Planning of level nodes` {
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }

  /// Groups on `count` nodes, all with chunks.
  private func scene(_ count: Int, zone: (Int) -> String = { _ in "" }) throws -> PlanScene {
    var scene = PlanScene()
    scene.join(count, zone: zone)
    _ = try scene.plan(replicas: 3)
    scene.filled = Set(scene.table.groups.keys)
    return scene
  }

  /// Makes each of the moves, and every member full.
  private func carryOut(_ moves: [GroupID: GroupPlanner.Move], _ scene: inout PlanScene) throws {
    for (group, move) in moves {
      let row = try #require(scene.table[group])
      #expect(row.members.contains(move.from) && !row.members.contains(move.to))
      let slots = row.slots.map { $0.node == move.from ? GroupSlot(node: move.to, state: .full) : $0 }
      scene.table.apply(
        PlacementGroup(id: row.id, epoch: row.epoch.next, policy: row.policy, slots: slots))
    }
  }

  /// Until nothing moves any more; gives how many slots have moved.
  private func level(_ scene: inout PlanScene) throws -> Int {
    var moved = 0
    for _ in 0..<1000 {
      let moves = scene.moves(3)
      guard !moves.isEmpty else { return moved }
      #expect(moves.count <= scene.rules.levelsAtOnce)
      try carryOut(moves, &scene)
      scene.checkGroups()
      moved += moves.count
    }
    Issue.record("it does not come to rest")
    return moved
  }

  @Test func `a node that joins nodes full of chunks gets its share, and no slot moves twice`() throws {
    var scene = try scene(4)
    #expect(scene.moves(3).isEmpty, "level nodes have nothing to give")
    scene.join(1)
    let (before, total) = (scene.loads(3), scene.loads(3).reduce(0, +))
    let moved = try level(&scene)
    let loads = scene.loads(3)
    #expect(loads.reduce(0, +) == total && moved == loads[4], "\(before) became \(loads)")
    let mean = Double(total) / 5
    #expect(loads.allSatisfy { abs(Double($0) - mean) <= mean / 10 + 2 }, "\(loads)")
  }

  @Test func `zones stay apart, and larger disks get more`() throws {
    var scene = try scene(6) { "z\($0 % 3)" }
    scene.join(1, zone: { _ in "z0" }, capacity: .gib(300))
    _ = try level(&scene)
    let loads = scene.loads(3)
    #expect(loads[6] > loads[0] && loads[6] > loads[3], "it is as large as the others of its zone together")
    #expect(loads[1] + loads[4] == loads[0] + loads[3] + loads[6], "a slot of each group is in each zone")
  }

  @Test func `moves that were chosen are kept while they make sense`() throws {
    var scene = try scene(4)
    scene.join(2)
    let moves = scene.moves(3)
    #expect(moves.count == scene.rules.levelsAtOnce)
    #expect(scene.moves(3, before: moves) == moves)
    // One of the takers is away, and a member of another group.
    scene.absent = [node(5)]
    let others = scene.moves(3, before: moves)
    #expect(others.values.allSatisfy { $0.to == node(6) })
    #expect(moves.filter { $0.value.to == node(6) }.allSatisfy { others[$0.key] == $0.value })
    scene.absent = [node(1)]
    let rest = scene.moves(3, before: moves)
    #expect(rest.keys.allSatisfy { scene.table[$0]?.members.contains(node(1)) == false })
    scene.absent = []
    let group = try #require(moves.keys.sorted().first)
    let row = try #require(scene.table[group])
    var slots = row.slots
    slots[0].state = .behind
    scene.table.apply(PlacementGroup(id: row.id, epoch: row.epoch.next, policy: row.policy, slots: slots))
    #expect(scene.moves(3, before: moves)[group] == nil, "it lacks a copy")
  }

  @Test func `a node gets no more than leaves a tenth of its disk free, and others get the rest`() throws {
    var scene = try scene(4)
    scene.join(2)
    for place in 0..<4 { scene.nodes[place].stored = .gib(scene.loads(3)[place]) }
    scene.nodes[4].free = .gib(10)
    var moves = scene.moves(3)
    #expect(moves.count == scene.rules.levelsAtOnce && moves.values.allSatisfy { $0.to == node(6) })
    scene.absent = [node(6)]
    for (free, count) in [(10, 0), (11, 1), (13, 3), (50, scene.rules.levelsAtOnce)] {
      scene.nodes[4].free = .gib(free)
      moves = scene.moves(3)
      #expect(moves.count == count, "a slot takes a GiB, and a tenth of the disk are ten")
    }
    // What is begun takes from the free space, and a group may be larger than others.
    scene.nodes[4].free = .gib(6)
    #expect(scene.moves(3, before: moves) == moves)
    scene.nodes[4].free = .gib(4)
    #expect(scene.moves(3, before: moves).isEmpty)
  }
}

/// What a group counts with while a slot of it changes hands.
@Suite struct SlotGiverTests {
  private let policy = PlacementPolicy(replicas: 3)

  private func row(_ epoch: UInt64, _ slots: [(UInt64, SlotState)]) -> PlacementGroup {
    PlacementGroup(
      id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: epoch), policy: policy,
      slots: slots.map { GroupSlot(node: NodeID(rawValue: $0), state: $1) })
  }

  private func scene() throws -> (MembershipScene, Cluster) {
    var scene = MembershipScene()
    for number in 1...4 {
      try scene.register(scene.registration(UInt64(number)))
      try scene.heartbeat(UInt64(number))
    }
    let cluster = Cluster(
      membership: scene.membership, table: SlotTable([row(1, [(1, .full), (2, .full), (3, .full)])]))
    return (scene, cluster)
  }

  /// Copies in contact, where they are fewer than three.
  private func copies(_ cluster: Cluster, _ scene: MembershipScene) -> Int? {
    cluster.withState { $0.membership = scene.membership }
    return cluster.groupSummary().short.first?.copies
  }

  @Test func `a group that is handed over is not short, until something else happens to it or to the giver`()
    throws
  {
    let handedOver = row(2, [(1, .full), (2, .full), (4, .filling)])
    var (scene, cluster) = try scene()
    cluster.apply([handedOver])
    #expect(copies(cluster, scene) == nil && cluster.groupSummary().degraded == 1)
    cluster.apply([row(3, [(1, .full), (2, .behind), (4, .filling)])])
    #expect(copies(cluster, scene) == 1, "who gave before a member missed something is not counted any more")

    (scene, cluster) = try self.scene()
    cluster.apply([handedOver])
    _ = try scene.pass(12, beating: [1, 2, 4])
    #expect(copies(cluster, scene) == 2, "the giver is down")
    try scene.heartbeat(3)
    #expect(copies(cluster, scene) == nil)
    try scene.register(scene.registration(3, boot: 2))
    try scene.heartbeat(3, boot: 2)
    #expect(copies(cluster, scene) == 2, "it started anew")

    (scene, cluster) = try self.scene()
    cluster.apply([handedOver, row(3, [(1, .full), (2, .full), (4, .full)])])
    #expect(copies(cluster, scene) == nil && cluster.withState { $0.givers.isEmpty })
  }

  @Test func `no slot of a node that was down, behind or one of two that left counts`() throws {
    var (scene, cluster) = try scene()
    _ = try scene.pass(12, beating: [1, 2, 4])
    cluster.withState { $0.membership = scene.membership }
    cluster.apply([row(2, [(1, .full), (2, .full), (4, .filling)])])
    try scene.heartbeat(3)
    #expect(copies(cluster, scene) == 2)

    (scene, cluster) = try self.scene()
    cluster.apply([row(2, [(1, .full), (2, .full), (3, .behind)])])
    cluster.apply([row(3, [(1, .full), (2, .full), (4, .filling)])])
    #expect(copies(cluster, scene) == 2)

    (scene, cluster) = try self.scene()
    cluster.apply([row(3, [(1, .full), (2, .full), (4, .filling)])])
    #expect(copies(cluster, scene) == 2, "nobody knows what happened between")
  }
}

/// The job that has them moved.
@Suite(.timeLimit(.minutes(2))) struct LevelSlotsTests {
  /// Three nodes, and four chunks in each of their twelve groups at least.
  private func run(
    _ body: (CoordinatorScene, ScriptedDataNodes, [ScriptedNode], Set<ChunkID>) async throws -> Void
  ) async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { configuration in
        configuration.placement.fewestGroups = 12
        configuration.placement.slotsPerNode = 3
      } _: { scene in
        let nodes = try await scene.join(3, address: address)
        var chunks: Set<ChunkID> = []
        for number in 0..<6 {
          chunks.formUnion(try await scene.store("/\(number)", on: nodes, datanodes, chunks: 40))
        }
        #expect(Set(chunks.compactMap { scene.group(of: $0) }).count == 12)
        try await body(scene, datanodes, nodes, chunks)
      }
    }
  }

  private func job(_ scene: CoordinatorScene) -> LevelSlots {
    LevelSlots(
      namespace: scene.coordinator.namespace, cluster: scene.coordinator.cluster,
      rules: scene.coordinator.service.configuration.placement, now: { scene.time.now })
  }

  /// A step after a minute in which nothing happened, but for heartbeats.
  private func stepAfterCalm(_ level: LevelSlots, _ nodes: [ScriptedNode], _ scene: CoordinatorScene)
    async throws
  {
    _ = try await level.step()
    try await scene.pass(60, beating: nodes)
    _ = try await level.step()
  }

  private func join(_ number: Int, like node: ScriptedNode, _ scene: CoordinatorScene) async throws
    -> ScriptedNode
  {
    var other = ScriptedNode(number)
    other.address = node.address
    try await other.register(at: scene)
    try await other.beat(at: scene)
    return other
  }

  @Test func `a slot is taken over only by a node that has everything, and others stay full`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let cluster = scene.coordinator.cluster
      let (level, repair) = (job(scene), scene.repair())
      let fourth = try await join(4, like: nodes[0], scene)
      #expect(try await level.step() == .after(.seconds(5)))
      #expect(cluster.withState { $0.heirs.isEmpty }, "it has just come")
      try await scene.pass(60, beating: nodes + [fourth])
      var counts: [Int] = []
      for _ in 0..<40 {
        counts.append(cluster.withState { $0.table.slotCount(of: fourth.id) })
        let pause = try await level.step()
        let heirs = cluster.withState { $0.heirs }
        if heirs.isEmpty, pause == .after(.seconds(5)), scene.unfinished.isEmpty { break }
        let warnings = try await scene.status().warnings
        #expect(heirs.isEmpty || warnings.contains { $0.contains("from fuller datanodes to emptier ones") })
        for group in heirs.keys {
          #expect(scene.row(group)?.slots.allSatisfy { $0.state == .full } == true)
        }
        for (group, row) in cluster.withState({ $0.table.groups }) where row.members.contains(fourth.id) {
          let wanted = chunks.filter { scene.group(of: $0) == group }
          #expect(datanodes.chunks(on: 4).isSuperset(of: wanted), "it had everything before")
          #expect(row.slots.count { $0.state == .full } >= 2)
        }
        _ = try await repair.step()
      }
      #expect(scene.unfinished.isEmpty && cluster.withState { $0.heirs.isEmpty && $0.predecessors.isEmpty })
      // Nine each would be level; two more or less are not worth a copy.
      let loads = cluster.withState { state in (nodes + [fourth]).map { state.table.slotCount(of: $0.id) } }
      #expect(loads.allSatisfy { (6...11).contains($0) } && loads.reduce(0, +) == 36, "\(loads), \(counts)")
      #expect(level.progress?.done == UInt64(loads[3]))
      for chunk in chunks {
        let row = try #require(scene.group(of: chunk).flatMap { scene.row($0) })
        #expect(row.members.allSatisfy { datanodes.chunks(on: $0.rawValue).contains(chunk) })
      }
    }
  }

  @Test func `a group that is handed over is as safe in the status as before`() async throws {
    try await run { scene, datanodes, nodes, chunks in
      let cluster = scene.coordinator.cluster
      let fourth = try await join(4, like: nodes[0], scene)
      let group = try #require(scene.group(of: chunks.sorted()[0]))
      cluster.withState { ($0.heirs[group], $0.predecessors[group]) = (fourth.id, nodes[0].id) }
      let reconciler = scene.reconciler
      var pass: ReconcilePass?
      for _ in 0..<10 where scene.row(group)?.members.contains(fourth.id) == false {
        let step = try await reconciler.step(group, pass, leavingOut: []) { _ in }
        if case .goesOn(let next) = step { pass = next } else { pass = nil }
      }
      #expect(scene.unfinished == [group])
      func status() async throws -> WireGetStatusResponse {
        let count = CountDegraded(namespace: scene.coordinator.namespace, cluster: cluster, disk: scene.disk)
        try await scene.exhaust(count)
        return try await scene.status()
      }
      let during = try await status()
      #expect(during.groupsDegraded == 1 && during.groupsUnreadable == 0 && during.groupsUnwritable == 0)
      #expect(during.chunksOnTwoCopies == 0 && during.chunksOnOneCopy == 0 && during.chunksAtRisk == 0)
      try await scene.pass(12, beating: nodes.dropFirst() + [fourth])
      let after = try await status()
      #expect(after.chunksOnTwoCopies > 0, "the giver is down, and the heir may lack something")
    }
  }

  @Test func `nothing moves while a node is away, drains or lacks a copy`() async throws {
    try await run { scene, datanodes, nodes, _ in
      let (cluster, level) = (scene.coordinator.cluster, job(scene))
      let fourth = try await join(4, like: nodes[0], scene)
      func heirs() -> [GroupID: NodeID] { cluster.withState { $0.heirs } }
      let all = nodes + [fourth]
      try await stepAfterCalm(level, all, scene)
      let chosen = heirs()
      #expect(!chosen.isEmpty)
      try await scene.pass(12, beating: nodes.dropLast() + [fourth])
      _ = try await level.step()
      #expect(heirs().isEmpty, "node 3 is down")
      try await scene.pass(4, beating: all)
      try await stepAfterCalm(level, all, scene)
      #expect(heirs() == chosen, "what was begun goes on")
      let group = try #require(chosen.keys.min())
      try await scene.coordinator.service.groups.markBehind(nodes[0].id, [group], because: "a test")
      _ = try await level.step()
      #expect(heirs().isEmpty, "a group lacks a copy")
      for _ in 0..<5 where !scene.unfinished.isEmpty { _ = try await scene.repair().step() }
      try await stepAfterCalm(level, all, scene)
      #expect(heirs() == chosen)
      _ = try await scene.coordinator.service.registrar.change(fourth.id, .drain)
      _ = try await level.step()
      #expect(heirs().isEmpty, "it is to be emptied")
      #expect(datanodes.chunks(on: 4).isEmpty || cluster.withState { $0.table.slotCount(of: fourth.id) } == 0)
    }
  }
}
