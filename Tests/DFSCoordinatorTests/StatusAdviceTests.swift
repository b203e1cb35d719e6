import DFSCore
import DFSMetadata
import Testing

@testable import DFSCoordinator

struct StatusAdviceTests {
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }

  /// Three nodes with reports, and a group of each one of them.
  private func scene(_ count: Int = 3) throws -> MembershipScene {
    var scene = MembershipScene()
    for number in 1...count {
      try scene.register(scene.registration(UInt64(number)))
      try scene.heartbeat(UInt64(number))
    }
    return scene
  }

  private func table(_ slots: [GroupSlot]) -> SlotTable {
    SlotTable([
      PlacementGroup(
        id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: 1),
        policy: PlacementPolicy(replicas: UInt8(slots.count)), slots: slots)
    ])
  }

  private func full(_ numbers: UInt64...) -> [GroupSlot] {
    numbers.map { GroupSlot(node: node($0), state: .full) }
  }

  private func advice(_ scene: MembershipScene, _ table: SlotTable) -> StatusAdvice {
    StatusAdvice(
      policy: PlacementPolicy(replicas: 3),
      health: Cluster(membership: scene.membership, table: table).health())
  }

  private func decide(_ action: NodeAction, _ number: UInt64, _ scene: inout MembershipScene) throws {
    let record = try scene.membership.record(
      after: action, of: node(number), table: SlotTable(), losses: .none)
    _ = scene.membership.decided(record)
  }

  @Test func `a healthy cluster needs nobody`() throws {
    let advice = try advice(scene(), table(full(1, 2, 3)))
    #expect(advice.actions == [] && advice.warnings == [])
  }

  @Test func `a silent node is first a warning, then a case for a person`() throws {
    var scene = try scene(4)
    _ = try scene.pass(11, beating: [1, 2, 3])
    #expect(advice(scene, table(full(1, 2, 3))).actions == [])
    #expect(
      advice(scene, table(full(1, 2, 3))).warnings == ["1 of 4 nodes is down: avoided, not yet replaced"])
    _ = try scene.pass(60, beating: [1, 2, 3])
    let actions = advice(scene, table(full(1, 2, 3))).actions
    #expect(actions.count == 1)
    #expect(
      actions.first?.hasPrefix("node \(node(4)) is out: start it again, or \"dfsd admin remove \(node(4))\"")
        == true)
    scene.membership = try {
      var other = scene
      try decide(.remove(.forced), 4, &other)
      return other.membership
    }()
    #expect(advice(scene, table(full(1, 2, 3))).actions == [], "what was removed needs nobody")
  }

  @Test func `nodes that the storm brake holds are named with what to do`() throws {
    var scene = try scene(4)
    _ = try scene.pass(80, beating: [1])
    let actions = advice(scene, table(full(1, 2, 3))).actions
    #expect(actions.contains { $0.contains("silent and not given up") && $0.contains("remove --force") })
  }

  @Test func `a drained node can be removed, one that has slots can not`() throws {
    var scene = try scene(4)
    try decide(.drain, 4, &scene)
    #expect(advice(scene, table(full(1, 2, 4))).actions == [])
    #expect(
      advice(scene, table(full(1, 2, 3))).actions
        == ["node \(node(4)) is drained: stop it, then \"dfsd admin remove \(node(4))\""])
  }

  @Test func `places without a node ask for more nodes, and too few nodes come first`() throws {
    let vacant = table(full(1, 2) + [.vacant])
    #expect(try advice(scene(3), vacant).actions.first?.hasPrefix("1 place for copies has no node") == true)
    #expect(
      try advice(scene(1), vacant).actions
        == ["3 copies need at least 2 datanodes, there is 1: start 1 more with \"dfsd datanode\""])
  }

  @Test func `a hold, lost chunks, a suspect and a paused job are told, the worst first`() throws {
    var scene = try scene()
    _ = try scene.foundBad(scene.membership.limits.suspectAfter, of: 2)
    var advice = advice(scene, table(full(1, 2, 3)))
    advice.isHeld = true
    advice.lostChunks = 1
    advice.pausedJobs = ["repair"]
    let words = ["1 chunk has no copy", "dfsd admin release", "dfsd admin activate", "jobs resume repair"]
    #expect(advice.actions.count == words.count)
    for (action, word) in zip(advice.actions, words) { #expect(action.contains(word), "\(action)") }
  }

  @Test func `who is refused is named with the reason while it tries again`() throws {
    var refused = RefusedNodes()
    let start = ContinuousClock.now
    refused.refused("a:7401", "its disk was wiped", now: start)
    refused.refused("b:7401", "its directory was copied", now: start)
    refused.accepted("b:7401")
    refused.refused("c:7401", "it was removed", now: start + .seconds(59))
    var advice = try advice(scene(), table(full(1, 2, 3)))
    advice.refused = refused.recent(now: start + .seconds(59))
    #expect(
      advice.actions == [
        "the datanode at a:7401 is refused: its disk was wiped",
        "the datanode at c:7401 is refused: it was removed",
      ])
    #expect(refused.recent(now: start + .seconds(60)).map(\.address) == ["c:7401"])
    for number in 0..<2000 { refused.refused("\(number)", "", now: start + .seconds(60)) }
    #expect(refused.recent(now: start + .seconds(60)).count == 1000)
  }

  @Test func `a coordinator that no node has reported to says nothing of their space`() throws {
    var scene = MembershipScene()
    for number in 1...3 { try scene.register(scene.registration(UInt64(number))) }
    #expect(advice(scene, table(full(1, 2, 3))).actions == [])
  }

  @Test func `early deletions are told for a day, and need a person while space is short`() throws {
    var scene = try scene()
    var purges = EarlyPurges()
    let start = ContinuousClock.now
    purges.add(0, .space, now: start)
    #expect(purges.recent(.space, now: start) == 0)
    purges.add(2, .space, now: start)
    purges.add(1, .space, now: start + .seconds(86_399))
    #expect(purges.recent(.space, now: start + .seconds(172_798)) == 3)
    #expect(purges.recent(.space, now: start + .seconds(172_799)) == 0)
    #expect(purges.recent(.entries, now: start) == 0)
    var told = advice(scene, table(full(1, 2, 3)))
    told.purgedForSpace = 3
    #expect(told.actions == [])
    #expect(told.warnings == ["3 deletions left the trash before their time, for lack of space"])
    for number in 1...3 as ClosedRange<UInt64> {
      _ = try scene.membership.heartbeat(
        NodeReport(
          node: node(number), boot: BootID(rawValue: 1), capacity: .gib(10), free: .mib(900)), now: scene.now)
    }
    #expect(advice(scene, table(full(1, 2, 3))).actions == [])
    told = advice(scene, table(full(1, 2, 3)))
    told.purgedForSpace = 1
    let words = "are free, so 1 deletion left the trash before its time: add datanodes"
    #expect(told.actions.first?.contains(words) == true)
  }

  @Test func `full disks and scarce space are cases for a person`() throws {
    var scene = try scene()
    for number in 1...3 as ClosedRange<UInt64> {
      _ = try scene.membership.heartbeat(
        NodeReport(
          node: node(number), boot: BootID(rawValue: 1), capacity: .gib(10), free: .mib(100)), now: scene.now)
    }
    #expect(advice(scene, table(full(1, 2, 3))).actions.first?.hasPrefix("only 300 MiB of 30 GiB") == true)
    for number in 1...3 as ClosedRange<UInt64> {
      _ = try scene.membership.heartbeat(
        NodeReport(
          node: node(number), boot: BootID(rawValue: 1), capacity: .gib(10), free: .mib(1), isWritable: false,
          reason: "the disk is full"), now: scene.now)
    }
    let full = advice(scene, table(full(1, 2, 3)))
    #expect(full.actions.first?.hasPrefix("the datanodes are full") == true)
    #expect(full.warnings.filter { $0.contains("the disk is full") }.count == 3)
  }
}
