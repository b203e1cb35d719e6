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
