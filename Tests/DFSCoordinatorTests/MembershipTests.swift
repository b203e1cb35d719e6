import DFSCore
import DFSMetadata
import Testing

@testable import DFSCoordinator

struct MembershipTests {
  @Test func `a silent node is down after ten seconds and out after sixty`() throws {
    var scene = MembershipScene()
    for node in 1...4 { try scene.register(scene.registration(UInt64(node))) }
    #expect(try scene.pass(60, beating: [1, 2, 3, 4]).isEmpty)
    let (last, id) = (scene.now, NodeID(rawValue: 4))
    var transitions = try scene.pass(9, beating: [1, 2, 3])
    #expect(transitions.isEmpty)
    transitions = try scene.pass(1, beating: [1, 2, 3])
    #expect(transitions == [Transition(node: id, from: .up, to: .down)])
    #expect(try scene.pass(49, beating: [1, 2, 3]).isEmpty)
    transitions = try scene.pass(1, beating: [1, 2, 3])
    #expect(transitions == [Transition(node: id, from: .down, to: .out)])
    #expect(scene.now - last == .seconds(60))
    #expect(scene.membership[id]?.record.state == .out)
  }

  @Test func `a node that comes back while it is down is up with its next heartbeat`() throws {
    var scene = MembershipScene()
    for node in 1...4 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(20, beating: [1, 2, 3])
    #expect(scene.life(4) == .down)
    #expect(try scene.heartbeat(4) == [Transition(node: NodeID(rawValue: 4), from: .down, to: .up)])
  }

  @Test func `a node that was out must register again and is active then`() throws {
    var scene = MembershipScene()
    for node in 1...4 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(130, beating: [1, 2, 3])
    #expect(scene.life(4) == .out)
    let error = #expect(throws: DFSError.self) { try scene.heartbeat(4) }
    #expect(error?.code == .stale)
    #expect(try scene.register(scene.registration(4)).map(\.to) == [.up])
    #expect(scene.membership[NodeID(rawValue: 4)]?.record.state == .active)
    try scene.heartbeat(4)
  }

  @Test func `nobody is out in the first minute after a coordinator start`() throws {
    var first = MembershipScene()
    for node in 1...4 { try first.register(first.registration(UInt64(node))) }
    var scene = MembershipScene(records: first.membership.present.map(\.record))
    #expect(scene.life(1) == .up)
    let early = try scene.pass(59)
    #expect(Set(early.map(\.to)) == [.down])
    let late = try scene.pass(30)
    #expect(late.map(\.to) == [.out], "the storm brake lets one of four go")
  }

  @Test func `the brake holds when more than a quarter of the nodes would go`() throws {
    var scene = MembershipScene()
    for node in 1...8 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(200, beating: [1, 2, 3, 4])
    let members = scene.membership.present
    #expect(members.count { $0.life == .out } == 2)
    #expect(members.count { $0.life == .down && $0.isHeldByBrake } == 2)
  }

  @Test func `the brake holds when a whole configured zone of several nodes would go`() throws {
    var scene = MembershipScene()
    for node in 1...12 {
      try scene.register(scene.registration(UInt64(node), zone: node <= 2 ? "a" : "b\(node)"))
    }
    _ = try scene.pass(200, beating: Array(3...12))
    #expect(scene.membership.present.count { $0.life == .out } == 1)
    #expect(scene.membership.present.count { $0.isHeldByBrake } == 1)
  }

  @Test func `with two nodes nobody goes by itself`() throws {
    var scene = MembershipScene()
    for node in 1...2 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(300, beating: [1])
    #expect(scene.life(2) == .down)
  }

  @Test func `a planned stop is down at once and not out before its time`() throws {
    var scene = MembershipScene()
    for node in 1...4 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(100, beating: [1, 2, 3, 4])
    #expect(try scene.heartbeat(4, isStopping: true).map(\.to) == [.down])
    #expect(try scene.pass(59, beating: [1, 2, 3]).isEmpty)
    #expect(try scene.pass(1, beating: [1, 2, 3]).map(\.to) == [.out])
  }

  @Test func `a heartbeat before a registration asks for one`() {
    var scene = MembershipScene()
    let error = #expect(throws: DFSError.self) { try scene.heartbeat(1) }
    #expect(error?.code == .stale)
  }

  @Test func `after a coordinator restart a node registers again with the same boot`() throws {
    var first = MembershipScene()
    try first.register(first.registration(1))
    var scene = MembershipScene(records: first.membership.present.map(\.record))
    #expect(throws: DFSError.self) { try scene.heartbeat(1) }
    try scene.register(scene.registration(1))
    try scene.heartbeat(1)
  }

  @Test func `a superseded boot that speaks again is refused and its receipts count no longer`() throws {
    var scene = MembershipScene()
    try scene.register(scene.registration(1, boot: 1))
    try scene.register(scene.registration(1, boot: 2))
    let node = NodeID(rawValue: 1)
    #expect(scene.membership[node]?.trustedBoots.map(\.rawValue) == [2, 1])
    #expect(refusal { try scene.heartbeat(1, boot: 1) } == "superseded")
    #expect(refusal { try scene.register(scene.registration(1, boot: 1)) } == "superseded")
    #expect(scene.membership[node]?.trustedBoots.map(\.rawValue) == [2])
    try scene.heartbeat(1, boot: 2)
  }

  @Test func `past boots stay bounded`() throws {
    var scene = MembershipScene()
    for boot in 1...100 { try scene.register(scene.registration(1, boot: UInt64(boot))) }
    #expect(scene.membership[NodeID(rawValue: 1)]?.pastBoots.count == 16)
  }

  @Test func `a disk of another cluster, a wiped one and a copied one are refused by name`() throws {
    var scene = MembershipScene()
    try scene.register(scene.registration(1))
    var foreign = scene.registration(2)
    foreign.cluster = ClusterID(rawValue: 8)
    #expect(refusal { try scene.register(foreign) } == "foreign_cluster")
    var wiped = scene.registration(1, boot: 2)
    wiped.store = StoreID(rawValue: 5)
    wiped.cluster = nil
    #expect(refusal { try scene.register(wiped) } == "other_store")
    var copied = scene.registration(3)
    copied.store = StoreID(rawValue: 1001)
    #expect(refusal { try scene.register(copied) } == "cloned_store")
    try scene.heartbeat(1)
  }

  @Test func `a coordinator that went back in time is refused by the nodes' memory`() throws {
    var scene = MembershipScene()
    var node = scene.registration(1)
    node.highestEpoch = Epoch(incarnation: 1, term: 6)
    #expect(refusal { try scene.register(node) } == "went_backwards")
    node.highestEpoch = Epoch(incarnation: 1, term: 4)
    node.highestRevision = Revision(rawValue: 101)
    #expect(refusal { try scene.register(node) } == "went_backwards")
    node.highestEpoch = Epoch(incarnation: 0, term: 9)
    node.highestRevision = Revision(rawValue: 500)
    try scene.register(node)
  }

  @Test func `a coordinator that went back in time does not catch up with the nodes' memory`() throws {
    var scene = MembershipScene()
    scene.authority.startRevision = Revision(rawValue: 90)
    var node = scene.registration(1)
    // The number that it has reached since is another change.
    node.highestEpoch = Epoch(incarnation: 1, term: 5)
    node.highestRevision = Revision(rawValue: 95)
    #expect(refusal { try scene.register(node) } == "went_backwards")
    node.highestRevision = Revision(rawValue: 90)
    try scene.register(node)
    // One that was here before has heard of it from this very process.
    node.highestRevision = Revision(rawValue: 100)
    try scene.register(node)
    node.highestRevision = Revision(rawValue: 101)
    #expect(refusal { try scene.register(node) } == "went_backwards")
  }

  @Test func `a removed node stays removed`() throws {
    var record = ClusterNode(
      id: NodeID(rawValue: 1), store: StoreID(rawValue: 1001), boot: BootID(rawValue: 1),
      endpoints: [], zone: "", capacity: .gib(1), state: .active, receiptKey: [])
    record.state = .removed
    var scene = MembershipScene(records: [record])
    #expect(refusal { try scene.register(scene.registration(1)) } == "removed")
  }

  @Test func `a node that went in for maintenance is never out`() throws {
    var first = MembershipScene()
    for node in 1...4 { try first.register(first.registration(UInt64(node))) }
    var records = first.membership.present.map(\.record)
    records[0].state = .maintenance
    var scene = MembershipScene(records: records)
    for node in 2...4 { try scene.register(scene.registration(UInt64(node))) }
    _ = try scene.pass(300, beating: [2, 3, 4])
    #expect(scene.life(1) == .down)
  }

  @Test func `a refused registration changes nothing`() throws {
    var scene = MembershipScene()
    var foreign = scene.registration(2)
    foreign.cluster = ClusterID(rawValue: 8)
    _ = refusal { try scene.register(foreign) }
    #expect(scene.membership.present.isEmpty)
  }
}
