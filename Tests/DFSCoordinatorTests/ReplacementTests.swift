import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

/// Who takes over from nodes that are gone or leave.
struct ReplacementTests {
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }

  /// Groups of `replicas` on `count` nodes, all with chunks.
  private func scene(_ count: Int, replicas: UInt8 = 3, zone: (Int) -> String = { _ in "" }) throws
    -> PlanScene
  {
    var scene = PlanScene()
    scene.join(count, zone: zone)
    _ = try scene.plan(replicas: replicas)
    scene.filled = Set(scene.table.groups.keys)
    return scene
  }

  @Test func `slots of a node that is out are filled by others, spread over all of them`() throws {
    var scene = try scene(6)
    let before = scene.table.groups(of: node(1))
    scene.leaving = [node(1): .out]
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    #expect(scene.table.slotCount(of: node(1)) == 0)
    var takers: [NodeID: Int] = [:]
    for group in before {
      let states = scene.table[group]?.slots.map(\.state).sorted { $0.rawValue < $1.rawValue }
      #expect(states == [.full, .full, .filling])
      for slot in scene.table[group]?.slots ?? [] where slot.state == .filling {
        takers[slot.node ?? node(0), default: 0] += 1
      }
    }
    #expect(takers.count == 5 && (takers.values.max() ?? 0) <= 2 * before.count / 5, "\(takers)")
    #expect(try scene.plan(replicas: 3).isEmpty, "a second plan finds nothing to do")
  }

  @Test func `without a spare node the slots stay vacant, and the next node or the same one fills them`()
    throws
  {
    for returning in [true, false] {
      var scene = try scene(3)
      scene.leaving = [node(3): .out]
      _ = try scene.plan(replicas: 3)
      #expect(scene.groups(3).allSatisfy { $0.slots.count { $0.state == .vacant } == 1 })
      if returning { scene.leaving = [:] } else { scene.join(1) }
      _ = try scene.plan(replicas: 3)
      scene.checkGroups()
      #expect(scene.groups(3).allSatisfy { $0.slots.contains { $0.state == .filling } })
      #expect(scene.table.slotCount(of: node(returning ? 3 : 4)) == 100)
    }
  }

  @Test func `a replacement is never in a zone that the group is in already`() throws {
    var scene = try scene(9) { ["a", "b", "c"][$0 % 3] }
    scene.leaving = [node(1): .out, node(4): .out]
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    #expect(scene.table.vacant.isEmpty && scene.table.slotCount(of: node(7)) == 300)
    scene.leaving[node(7)] = .out
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    #expect(scene.table.vacant.count == 300, "nobody is left in zone a")
  }

  @Test func `the last full member keeps its slot while it may return, and not when it was removed`() throws {
    var scene = try scene(4, replicas: 1)
    let groups = scene.table.groups(of: node(1))
    scene.leaving = [node(1): .out]
    _ = try scene.plan(replicas: 1)
    #expect(scene.table.groups(of: node(1)) == groups)
    scene.leaving = [node(1): .removed]
    _ = try scene.plan(replicas: 1)
    #expect(scene.table.slotCount(of: node(1)) == 0)
    #expect(groups.allSatisfy { scene.table[$0]?.slots.map(\.state) == [.filling] })
  }

  @Test func `two nodes that go together leave each group the copies that it has`() throws {
    var scene = try scene(5)
    scene.leaving = [node(1): .out, node(2): .out]
    _ = try scene.plan(replicas: 3)
    scene.checkGroups()
    for row in scene.groups(3) {
      #expect(row.slots.contains { $0.state == .full && scene.leaving[$0.node ?? node(0)] == nil })
      #expect(row.members.allSatisfy { scene.leaving[$0] == nil })
    }
  }

  @Test func `an empty group changes its members without repair`() throws {
    var scene = try scene(4)
    scene.filled = []
    scene.leaving = [node(1): .out, node(2): .draining]
    _ = try scene.plan(replicas: 3)
    #expect(scene.table.unfinished.isEmpty)
    #expect(scene.table.slotCount(of: node(1)) == 0)
    // Two nodes are left for three members: the one that drains stays where it is needed.
    #expect(scene.groups(3).allSatisfy { $0.members.contains(node(2)) || $0.slots.contains(.vacant) })
  }

  @Test func `a node drains a bounded number of groups at a time, and ends with none`() throws {
    var scene = try scene(5)
    scene.rules.movesAtOnce = 10
    scene.leaving = [node(2): .draining]
    var left = scene.table.slotCount(of: node(2))
    while left > 0 {
      _ = try scene.plan(replicas: 3)
      scene.checkGroups()
      let now = scene.table.slotCount(of: node(2))
      #expect(now == max(0, left - 10), "ten at a time")
      #expect(scene.table.unfinished.allSatisfy { scene.table[$0]?.slots.count { $0.state == .full } == 2 })
      #expect(try scene.plan(replicas: 3).isEmpty, "the next ones wait until these are full")
      scene.repair()
      left = now
    }
    #expect(scene.table.vacant.isEmpty)
  }

  @Test func `a node that drains keeps slots that nobody can take, and those of groups that lack a copy`()
    throws
  {
    var scene = try scene(3)
    scene.leaving = [node(2): .draining]
    #expect(try scene.plan(replicas: 3).isEmpty)
    #expect(scene.table.slotCount(of: node(2)) == 100)

    scene = try self.scene(5)
    scene.absent = [node(5)]
    scene.leaving = [node(2): .draining]
    scene.rules.movesAtOnce = 1000
    _ = try scene.plan(replicas: 3)
    #expect(scene.groups(3).allSatisfy { !$0.members.contains(node(2)) || $0.members.contains(node(5)) })

    // The only copy stays until somebody else has everything.
    scene = try self.scene(3, replicas: 1)
    scene.leaving = [node(2): .draining]
    #expect(try scene.plan(replicas: 1).isEmpty)
  }

  @Test func `a suspect node whose only replicas are behind is drained by heirs`() throws {
    var scene = try scene(4, replicas: 1)
    scene.rules.movesAtOnce = 1000
    scene.leaving = [node(2): .draining]
    var membership = MembershipScene()
    for number in 1...4 { try membership.register(membership.registration(UInt64(number))) }
    #expect(try membership.foundBad(1000, of: 2))
    let rows = scene.groups(1).filter { $0.members == [node(2)] }
    for row in rows {
      scene.table.apply(
        PlacementGroup(
          id: row.id, epoch: row.epoch.next, policy: row.policy,
          slots: [GroupSlot(node: node(2), state: .behind)]))
    }
    let heirs = try scene.heirs(before: [:])
    #expect(Set(heirs.keys) == Set(rows.map(\.id)) && !rows.isEmpty)
    // Nobody is to be repaired, so the heir's turn has come.
    for row in rows {
      let row = try #require(scene.table[row.id])
      let pass = ReconcilePass(row: row, membership.membership, heir: heirs[row.id], since: .zero)
      #expect(pass.heir == heirs[row.id] && pass.heir != nil)
    }
  }

  @Test func `the only replicas of a node that drains get heirs, a bounded number, spread and kept`() throws {
    var scene = try scene(4, replicas: 1)
    scene.rules.movesAtOnce = 12
    scene.leaving = [node(2): .draining]
    let heirs = try scene.heirs(before: [:])
    #expect(heirs.count == 12 && heirs.keys.allSatisfy { scene.table[$0]?.members == [node(2)] })
    #expect(Set(heirs.values) == [node(1), node(3), node(4)])
    #expect(try scene.heirs(before: heirs) == heirs)
    scene.absent = [node(3)]
    let others = try scene.heirs(before: heirs)
    #expect(others.count == 12 && !others.values.contains(node(3)))
    #expect(heirs.filter { $0.value != node(3) }.allSatisfy { others[$0.key] == $0.value })
    scene.leaving = [:]
    #expect(try scene.heirs(before: heirs).isEmpty)
  }
}
