import DFSCore
import DFSMetadata
import Testing

@testable import DFSCoordinator

/// What operators decide, and what the membership decides about nodes that are not well.
struct NodeActionTests {
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }

  private func scene(_ count: Int, limits: Membership.Limits = Membership.Limits()) throws -> MembershipScene {
    var scene = MembershipScene(limits: limits)
    for number in 1...count { try scene.register(scene.registration(UInt64(number))) }
    return scene
  }

  private func row(_ id: UInt32, _ slots: [GroupSlot]) -> PlacementGroup {
    PlacementGroup(
      id: GroupID(rawValue: id), epoch: GroupEpoch(rawValue: 1),
      policy: PlacementPolicy(replicas: UInt8(slots.count)), slots: slots)
  }
  private func full(_ number: UInt64) -> GroupSlot { GroupSlot(node: node(number), state: .full) }

  @discardableResult
  private func act(
    _ action: NodeAction, on number: UInt64, in scene: inout MembershipScene, table: SlotTable = SlotTable(),
    losses: KnownLosses = .none
  ) throws -> ClusterNode {
    let record = try scene.membership.record(
      after: action, of: node(number), table: table, losses: losses)
    _ = scene.membership.decided(record)
    return record
  }

  @Test func `draining ends eligibility, and activation brings it back`() throws {
    var scene = try scene(3)
    #expect(try act(.drain, on: 1, in: &scene).state == .draining)
    #expect(scene.membership[node(1)]?.isWritable == false)
    #expect(scene.membership[node(1)]?.isReachable == true, "it serves until others have everything")
    let error = #expect(throws: DFSError.self) { try act(.maintenance, on: 1, in: &scene) }
    #expect(error?.code == .failedPrecondition)
    #expect(try act(.activate, on: 1, in: &scene).state == .active)
    #expect(scene.membership[node(1)]?.isEligible == true)
    #expect(throws: DFSError.self) { try act(.drain, on: 9, in: &scene) }
  }

  @Test func `a node in maintenance stays a member however long it is silent`() throws {
    var scene = try scene(4)
    try act(.maintenance, on: 4, in: &scene)
    _ = try scene.pass(600, beating: [1, 2, 3])
    #expect(scene.life(4) == .down && scene.membership[node(4)]?.isGone == false)
    // Its leave is over and it is still silent.
    try act(.activate, on: 4, in: &scene)
    _ = try scene.pass(1, beating: [1, 2, 3])
    #expect(scene.life(4) == .out)
  }

  @Test func `removal is refused while the node has slots or may have last copies, unless it is forced`()
    throws
  {
    var scene = try scene(4)
    let member = SlotTable([row(1, [full(1), full(2), full(3)])])
    #expect(refusal { try act(.remove(.ifSafe), on: 1, in: &scene, table: member) } == "has_slots")
    let filling = SlotTable([row(1, [full(2), full(3), GroupSlot(node: node(4), state: .filling)])])
    #expect(refusal { try act(.remove(.ifSafe), on: 1, in: &scene, table: filling) } == "last_copies")
    let whole = SlotTable([row(1, [full(2), full(3), full(4)])])
    var book = RepairBook()
    book.lost([ChunkID(inode: InodeID(rawValue: 9), index: 0)], of: GroupID(rawValue: 1))
    var check = CheckResult(number: 1, startedAt: scene.now, endedAt: scene.now)
    let lost = KnownLosses(repair: book, check: check)
    check.missing = 1
    let missing = KnownLosses(repair: RepairBook(), check: check)
    for losses in [lost, missing] {
      let refusal = refusal { try act(.remove(.ifSafe), on: 1, in: &scene, table: whole, losses: losses) }
      #expect(refusal == "last_copies")
    }
    try scene.heartbeat(1)
    #expect(try act(.remove(.ifSafe), on: 1, in: &scene, table: whole).state == .removed)
    #expect(try act(.remove(.ifSafe), on: 1, in: &scene, table: whole).state == .removed, "again")
    #expect(throws: DFSError.self) { try act(.activate, on: 1, in: &scene) }
    #expect(try act(.remove(.forced), on: 2, in: &scene, table: member).state == .removed)
    #expect(scene.membership[node(2)]?.isGone == true)
    #expect(throws: DFSError.self) { try scene.heartbeat(2) }
    #expect(refusal { try scene.register(scene.registration(2)) } == "removed")
  }

  @Test func `after a restore no removal is safe until the namespace is released, for full may mean was full`()
    throws
  {
    var scene = try scene(4)
    try scene.heartbeat(1)
    let whole = SlotTable([row(1, [full(2), full(3), full(4)])])
    @discardableResult
    func removal(_ removal: NodeAction.Removal, isHeld: Bool) throws -> NodeState {
      try scene.membership.record(
        after: .remove(removal), of: node(1), table: whole, losses: .none, isHeld: isHeld
      ).state
    }
    #expect(refusal { try removal(.ifSafe, isHeld: true) } == "held")
    #expect(try removal(.forced, isHeld: true) == .removed)
    #expect(try removal(.ifSafe, isHeld: false) == .removed)
  }

  @Test func `a node that has chunks or is silent is removed only after a check of all groups`() throws {
    var scene = try scene(4)
    let whole = SlotTable([row(1, [full(2), full(3), full(4)])])
    func remove(_ check: CheckResult?) -> String? {
      let losses = KnownLosses(repair: RepairBook(), check: check)
      return refusal {
        _ = try scene.membership.record(
          after: .remove(.ifSafe), of: node(1), table: whole, losses: losses)
      }
    }
    var check = CheckResult(number: 1, startedAt: scene.now, endedAt: scene.now)
    #expect(remove(nil) == "unchecked", "it has not said what it has")
    #expect(remove(check) == nil)
    check.skippedGroups = 1
    #expect(remove(check) == "unchecked")
    try scene.heartbeat(1, chunks: 5)
    #expect(remove(nil) == "unchecked")
    try scene.heartbeat(1, chunks: 0)
    #expect(remove(nil) == nil)
    _ = try scene.pass(12, beating: [2, 3, 4])
    #expect(remove(nil) == "unchecked", "silent, so nobody knows")
  }

  @Test func `many bad replicas in a short time make a node suspect until a person activates it`() throws {
    var limits = Membership.Limits()
    limits.suspectAfter = 10
    var scene = try scene(4, limits: limits)
    // Slowly, nobody minds.
    for _ in 0..<30 {
      #expect(try !scene.foundBad(1, of: 1))
      _ = try scene.pass(120, beating: [1, 2, 3, 4])
    }
    #expect(try !scene.foundBad(5, of: 1))
    #expect(try scene.foundBad(5, of: 1))
    #expect(try !scene.foundBad(5, of: 1), "said once")
    #expect(scene.membership.unsaved == [node(1)])
    #expect(scene.membership[node(1)]?.isWritable == false && scene.membership[node(1)]?.isReachable == true)
    // Neither a new start of the node nor one of the coordinator makes it trustworthy.
    try scene.register(scene.registration(1, boot: 2))
    #expect(scene.membership[node(1)]?.record.isSuspect == true)
    var later = MembershipScene(records: scene.membership.present.map(\.record))
    try later.register(later.registration(1, boot: 3))
    #expect(later.membership[node(1)]?.isEligible == false)
    #expect(try act(.activate, on: 1, in: &later).isSuspect == false)
    #expect(later.membership[node(1)]?.isEligible == true)
  }

  @Test func `a node that comes and goes gets no new slots until it has stayed`() throws {
    var scene = try scene(4)
    for round in 1...3 {
      _ = try scene.pass(12, beating: [1, 2, 3])
      #expect(scene.life(4) == .down)
      try scene.heartbeat(4)
      #expect(scene.membership[node(4)]?.isEligible == (round < 3), "twice is forgiven")
    }
    _ = try scene.pass(59, beating: [1, 2, 3, 4])
    #expect(scene.membership[node(4)]?.isEligible == false && scene.membership[node(4)]?.isWritable == true)
    _ = try scene.pass(1, beating: [1, 2, 3, 4])
    #expect(scene.membership[node(4)]?.isEligible == true)
    // The next one within ten minutes costs twice as much; a crash that nobody noticed counts as well.
    try scene.register(scene.registration(4, boot: 2))
    #expect(scene.membership[node(4)]?.isEligible == false)
    for _ in 0..<119 {
      scene.now += .seconds(1)
      for number in 1...3 { try scene.heartbeat(UInt64(number)) }
      try scene.heartbeat(4, boot: 2)
      _ = scene.membership.tick(now: scene.now)
    }
    #expect(scene.membership[node(4)]?.isEligible == false)
    scene.now += .seconds(1)
    _ = scene.membership.tick(now: scene.now)
    #expect(scene.membership[node(4)]?.isEligible == true)
  }

  @Test func `without an out time a broken stream is the end, and another one within half a second is not`()
    throws
  {
    var limits = Membership.Limits()
    limits.outAfter = .zero
    limits.startGrace = .zero
    var scene = try scene(4, limits: limits)
    for number in 1...4 {
      scene.membership.streamBegan(of: node(UInt64(number)))
      try scene.heartbeat(UInt64(number))
    }
    scene.membership.streamEnded(of: node(3), now: scene.now)
    scene.membership.streamBegan(of: node(4))
    scene.membership.streamEnded(of: node(4), now: scene.now)
    scene.now += .milliseconds(400)
    #expect(try scene.tick().isEmpty)
    scene.membership.streamBegan(of: node(3))
    try scene.heartbeat(3)
    scene.now += .milliseconds(400)
    #expect(try scene.tick().isEmpty)

    scene.membership.streamEnded(of: node(4), now: scene.now)
    scene.now += .milliseconds(500)
    #expect(try scene.tick().map(\.to) == [.out])
    #expect(scene.life(4) == .out)
    // One that stops on purpose gets its down time.
    try scene.heartbeat(3, isStopping: true)
    scene.membership.streamEnded(of: node(3), now: scene.now)
    #expect(try scene.pass(9, beating: [1, 2]).isEmpty)
  }

  @Test func `with the default times a broken stream means nothing`() throws {
    var scene = try scene(4)
    scene.membership.streamBegan(of: node(4))
    try scene.heartbeat(4)
    scene.membership.streamEnded(of: node(4), now: scene.now)
    #expect(try scene.pass(9, beating: [1, 2, 3]).isEmpty)
  }

  @Test func `a forecast says which groups a stop would break`() throws {
    let scene = try scene(4)
    let table = SlotTable([
      row(1, [full(1), full(2), full(3)]), row(2, [full(2), full(3), full(4)]),
      row(3, [full(1), GroupSlot(node: node(2), state: .behind), GroupSlot.vacant]), row(4, [full(4)]),
    ])
    func forecast(_ nodes: Set<UInt64>) -> StopForecast {
      StopForecast(stopping: Set(nodes.map(node)), table: table, membership: scene.membership)
    }
    #expect(forecast([3]).canStop && forecast([3]).reason.isEmpty)
    #expect(forecast([1]).unreadable == 1, "group 3 has its only full copy there")
    #expect(forecast([2]).unwritable == 1 && forecast([2]).unreadable == 0)
    #expect(forecast([4]).unreadable == 1 && !forecast([4]).canStop)
    #expect(forecast([2, 3]).onOneCopy == 3)
    #expect(forecast([2, 3]).reason.contains("too few nodes for a write"))
    #expect(forecast([]).canStop)
  }
}

extension KnownLosses {
  /// Of a coordinator that knows of none and has not checked.
  static let none = KnownLosses(repair: RepairBook(), check: nil)
}
