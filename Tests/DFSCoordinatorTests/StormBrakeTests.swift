import DFSCore
import DFSMetadata
import Testing

@testable import DFSCoordinator

/// How many nodes may be given up at once.
@Suite struct StormBrakeTests {
  private func member(
    _ number: UInt64, zone: String = "", state: NodeState = .active, life: Member.Life = .up
  ) -> Member {
    let record = ClusterNode(
      id: NodeID(rawValue: number), store: StoreID(rawValue: number), boot: BootID(rawValue: 1),
      endpoints: [], zone: zone, capacity: .gib(1), state: state, receiptKey: [])
    var member = Member(record: record, lastContact: .now)
    member.life = life
    return member
  }

  /// How many of the members can be declared out, one after another.
  private func mayGo(_ members: [Member]) -> Int {
    var brake = StormBrake(members)
    var gone = 0
    for member in members where member.life != .out && member.record.state != .removed {
      guard !brake.holds(against: member) else { continue }
      brake.wentOut(member)
      gone += 1
    }
    return gone
  }

  @Test(arguments: [
    (1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (7, 1), (8, 2), (11, 2), (12, 3), (10_000, 2500),
  ])
  func `of three nodes one may go, and of more a quarter`(nodes: Int, mayGo: Int) {
    #expect(self.mayGo((1...nodes).map { member(UInt64($0)) }) == mayGo)
  }

  @Test func `those that are out already count, removed ones do not, and others stay nodes`() {
    let eight = (1...8).map { member(UInt64($0)) }
    let out = [member(9, state: .out, life: .out), member(10, state: .maintenance, life: .out)]
    #expect(mayGo(eight) == 2)
    #expect(mayGo(eight + out) == 0, "two of ten are out")
    #expect(mayGo(eight + [out[0]]) == 1)
    #expect(mayGo(eight + [member(9, state: .removed, life: .out)]) == 2)
    #expect(mayGo(Array(eight.prefix(2)) + [member(9, state: .removed, life: .out)]) == 0, "two are left")
    let decided = [member(9, state: .draining), member(10, state: .maintenance)]
    #expect(mayGo(Array(eight.prefix(6)) + decided) == 2)
  }

  @Test func `the last node of a zone of several stays, that of a zone of one may go`() {
    let others = (1...20).map { member(UInt64($0)) }
    let zone = [member(31, zone: "a"), member(32, zone: "a"), member(33, zone: "a")]
    #expect(mayGo(zone + others) == 5, "two of the zone, and three more make a quarter")
    var brake = StormBrake(zone + others)
    for member in zone.prefix(2) {
      #expect(!brake.holds(against: member))
      brake.wentOut(member)
    }
    #expect(brake.holds(against: zone[2]))
    #expect(!brake.holds(against: others[0]), "another zone's nodes may go")
    let alone = member(41, zone: "b")
    #expect(!StormBrake(zone + [alone] + others).holds(against: alone))
    #expect(!StormBrake(others).holds(against: others[0]), "without a name there is no zone")
    // A zone whose other nodes are out, or were removed.
    var rest = [member(31, zone: "a", state: .out, life: .out), zone[1]]
    #expect(StormBrake(rest + others).holds(against: zone[1]))
    rest[0] = member(31, zone: "a", state: .removed, life: .out)
    #expect(!StormBrake(rest + others).holds(against: zone[1]), "it is the only one of its zone")
  }
}
