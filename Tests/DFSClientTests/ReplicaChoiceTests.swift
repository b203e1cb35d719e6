import DFSCore
import Testing

@testable import DFSClient

struct ReplicaChoiceTests {
  private let now = ContinuousClock.now
  private let nodes = (1...3).map { NodeID(rawValue: $0) }

  private func row(
    replicas: Int = 3, states: [ChunkLocation.Replica.State] = [.full, .full, .full],
    reachable: [Bool] = [true, true, true]
  ) -> GroupRow {
    GroupRow(
      id: GroupID(rawValue: 1), epoch: GroupEpoch(rawValue: 1), replicas: replicas,
      members: zip(states, reachable).enumerated().map {
        GroupRow.Member(node: nodes[$0.offset], state: $0.element.0, isReachable: $0.element.1)
      })
  }

  @Test func `reads ask full members that answer before all others, and leave none out`() {
    let order = row(states: [.behind, .full, .full], reachable: [true, true, false])
      .readOrder(health: PeerHealth(), now: now, spread: 0)
    #expect(order == [nodes[1], nodes[0], nodes[2]])
  }

  @Test func `the chunks of a file are read from all members in turn`() {
    let firsts = (0..<3).map { row().readOrder(health: PeerHealth(), now: now, spread: $0)[0] }
    #expect(Set(firsts).count == 3)
  }

  @Test func `a suspected member is asked last and written to only when the quorum needs it`() {
    var health = PeerHealth()
    health.failed(nodes[0], .read, now: now)
    health.failed(nodes[0], .write, now: now)
    #expect(row().readOrder(health: health, now: now, spread: 0).last == nodes[0])
    let route = row().writeRoute(health: health, now: now, spread: 0)
    #expect(route.map { Set([$0.primary] + $0.forwards) } == [nodes[1], nodes[2]])
    health.failed(nodes[1], .write, now: now)
    let needy = row().writeRoute(health: health, now: now, spread: 0)
    #expect(needy?.primary == nodes[2] && needy?.forwards.count == 1)
  }

  @Test func `the primary rotates and the others are forwarded to`() {
    let routes = (0..<3).compactMap { row().writeRoute(health: PeerHealth(), now: now, spread: $0) }
    #expect(Set(routes.map(\.primary)).count == 3)
    #expect(routes.allSatisfy { $0.forwards.count == 2 && !$0.forwards.contains($0.primary) })
  }

  @Test func `a group with fewer members than the quorum has no route`() {
    #expect(row(states: [.full]).writeRoute(health: PeerHealth(), now: now, spread: 0) == nil)
    #expect(row(replicas: 1, states: [.full]).writeRoute(health: PeerHealth(), now: now, spread: 0) != nil)
  }

  @Test func `suspicion ends by itself, lasts longer each time, and by success at once`() {
    var health = PeerHealth()
    health.failed(nodes[0], .read, now: now)
    #expect(health.isSuspect(nodes[0], .read, now: now + .seconds(4)))
    #expect(!health.isSuspect(nodes[0], .read, now: now + .seconds(6)))
    #expect(!health.isSuspect(nodes[0], .write, now: now))
    health.failed(nodes[0], .read, now: now)
    #expect(health.isSuspect(nodes[0], .read, now: now + .seconds(9)))
    health.succeeded(nodes[0], .read)
    #expect(!health.isSuspect(nodes[0], .read, now: now))
  }

  @Test func `an older row of a group never replaces a newer one`() {
    var map = ClusterMap()
    var newer = row()
    newer.epoch = GroupEpoch(rawValue: 5)
    map.learn([newer])
    map.learn([row()])
    #expect(map.groups[newer.id]?.epoch.rawValue == 5)
    var unreachable = row(reachable: [false, true, true])
    unreachable.epoch = newer.epoch
    map.learn([unreachable])
    #expect(map.groups[newer.id]?.members[0].isReachable == false)
  }

  @Test func `one read in twenty may be hedged, after a first few`() {
    var budget = HedgeBudget()
    let early = (0..<100).count { _ in budget.take() }
    #expect(early == 8)
    for _ in 0..<100 { budget.readStarted() }
    #expect((0..<100).count { _ in budget.take() } == 5)
  }
}
