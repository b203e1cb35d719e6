import DFSCore
import DFSMetadata
import TestSupport
import Testing

@testable import DFSCoordinator

/// What slow nodes and passes that came to nothing do to the order of repair.
@Suite struct RepairQueueTests {
  private let start = ContinuousClock.now
  private func node(_ number: UInt64) -> NodeID { NodeID(rawValue: number) }
  private func row(_ id: UInt32, _ slots: [(UInt64, SlotState)], epoch: UInt64 = 1) -> PlacementGroup {
    PlacementGroup(
      id: GroupID(rawValue: id), epoch: GroupEpoch(rawValue: epoch), policy: PlacementPolicy(replicas: 3),
      slots: slots.map { GroupSlot(node: node($0.0), state: $0.1) })
  }

  /// `count` nodes in contact.
  private func scene(_ count: UInt64) throws -> MembershipScene {
    var scene = MembershipScene()
    for number in 1...count { try scene.register(scene.registration(number)) }
    return scene
  }

  private func claim(_ queue: inout RepairQueue) throws -> RepairQueue.Entry {
    let entry = queue.next()
    return try #require(entry)
  }

  /// Nothing may run now.
  private func isBusy(_ queue: inout RepairQueue) -> Bool { queue.next() == nil }

  @Test func `a slow node holds back neither nodes that it shares groups with nor other groups`() throws {
    let scene = try scene(4)
    // Nodes 2 and 3 are to get everything of twenty groups; node 2 is slow.
    let table = SlotTable((1...20).map { row($0, [(1, .full), (2, .filling), (3, .filling)]) })
    var queue = RepairQueue()
    queue.fill(table, scene.membership, now: start)
    var shared = 0
    var alone: Set<GroupID> = []
    for _ in 0..<200 where alone.count < 20 {
      while let entry = queue.next() {
        // Node 3 has got everything of the page at once.
        queue.served(node(3), of: entry.group)
        if entry.leftOut.isEmpty {
          shared += 1
        } else {
          #expect(entry.leftOut == [node(2)])
          alone.insert(entry.group)
          queue.end(entry, .goesOn, membership: scene.membership.version, now: start)
          break
        }
      }
    }
    #expect(shared == queue.limits.mostPerTarget && queue.runningCount == shared)
    #expect(alone.count == 20 - shared, "node 3 gets what the others have for it")
  }

  @Test func `a target that was served has room again, once`() throws {
    let scene = try scene(3)
    let table = SlotTable((1...5).map { row($0, [(1, .full), (2, .full), (3, .filling)]) })
    var queue = RepairQueue()
    queue.limits.groupsPerTarget = 1
    queue.fill(table, scene.membership, now: start)
    let first = try claim(&queue)
    let isFirstBusy = isBusy(&queue)
    #expect(isFirstBusy)
    queue.served(node(3), of: first.group)
    let second = try claim(&queue)
    queue.end(first, .finished, membership: 0, now: start)
    queue.served(node(3), of: first.group)
    let isSecondBusy = isBusy(&queue)
    #expect(isSecondBusy, "node 3 is busy with the second group")
    queue.end(second, .finished, membership: 0, now: start)
    let isAnyBusy = isBusy(&queue)
    #expect(!isAnyBusy)
  }

  /// A queue whose only group has ended with `obstacle` a number of times, and when it did last.
  private func queue(
    _ row: PlacementGroup, _ scene: MembershipScene, _ obstacle: RepairQueue.Obstacle, times: Int
  ) throws -> (RepairQueue, at: ContinuousClock.Instant) {
    var queue = RepairQueue()
    for time in 0..<times {
      let now = start + queue.limits.longestAbsence * time
      queue.fill(SlotTable([row]), scene.membership, now: now)
      let entry = try claim(&queue)
      queue.end(entry, .failed(obstacle), membership: scene.membership.version, now: now)
    }
    return (queue, start + queue.limits.longestAbsence * (times - 1))
  }

  private func isDue(
    _ queue: RepairQueue, _ row: PlacementGroup, _ membership: Membership, at now: ContinuousClock.Instant
  ) -> Bool {
    var queue = queue
    queue.fill(SlotTable([row]), membership, now: now)
    return !isBusy(&queue)
  }

  @Test func `a group that only lacks the answer of absent nodes waits for one of them`() throws {
    var scene = try scene(4)
    _ = try scene.pass(12, beating: [1, 3, 4])
    let row = row(1, [(1, .full), (2, .full), (3, .behind)])
    let basis = ReconcilePass(row: row, scene.membership, heir: nil, since: .zero).basis
    let obstacle = RepairQueue.Obstacle(absent: [node(2)], isAbsenceAlone: true, basis: basis, looks: 5)
    let (queue, end) = try queue(row, scene, obstacle, times: 5)
    #expect(!isDue(queue, row, scene.membership, at: end + .seconds(1800)))
    #expect(isDue(queue, row, scene.membership, at: end + queue.limits.longestAbsence), "a last resort")
    try scene.register(scene.registration(4, boot: 2))
    #expect(!isDue(queue, row, scene.membership, at: end + .seconds(60)), "another node changes nothing")
    // Another row: a member has lost something, or the slots are others.
    let other = self.row(1, [(1, .full), (2, .full), (3, .behind)], epoch: 2)
    #expect(isDue(queue, other, scene.membership, at: end + .seconds(5)))
    var back = scene
    try back.heartbeat(2)
    #expect(isDue(queue, row, back.membership, at: end + .seconds(5)))
    _ = try scene.pass(60, beating: [1, 3])
    #expect(scene.life(2) == .out)
    #expect(isDue(queue, row, scene.membership, at: end + .seconds(5)), "nobody waits for it any more")
  }

  @Test func `what was listed for nothing makes the pauses longer, and copies make them short again`() throws
  {
    let scene = try scene(3)
    let row = row(1, [(1, .full), (2, .full), (3, .behind)])
    let longest = RepairQueue.Limits().longestRetry
    let (cheap, end) = try queue(row, scene, .init(looks: 9), times: 12)
    #expect(isDue(cheap, row, scene.membership, at: end + longest))
    let (costly, _) = try queue(row, scene, .init(looks: 6000), times: 12)
    // Three nodes, and a tenth of a second for each look.
    #expect(!isDue(costly, row, scene.membership, at: end + .seconds(199)))
    #expect(isDue(costly, row, scene.membership, at: end + .seconds(200)))
    let (huge, _) = try queue(row, scene, .init(looks: 6_000_000), times: 12)
    #expect(!isDue(huge, row, scene.membership, at: end + .seconds(599)))
    #expect(isDue(huge, row, scene.membership, at: end + .seconds(600)))
    let (useful, _) = try queue(row, scene, .init(looks: 6_000_000, copied: 1), times: 12)
    #expect(isDue(useful, row, scene.membership, at: end + .seconds(1)))
  }

  @Test func `a pass of many pages that comes to nothing is not begun again at once`() throws {
    let scene = try scene(3)
    let row = row(1, [(1, .full), (2, .full), (3, .behind)])
    var (queue, now) = (RepairQueue(), start)
    var begun = 0
    while now < start + .seconds(60) {
      queue.fill(SlotTable([row]), scene.membership, now: now)
      if let first = queue.next() {
        begun += 1
        queue.end(first, .goesOn, membership: scene.membership.version, now: now)
        queue.fill(SlotTable([row]), scene.membership, now: now)
        let second = try claim(&queue)
        queue.end(second, .failed(.init(looks: 10)), membership: scene.membership.version, now: now)
      }
      now += .milliseconds(500)
    }
    // After 0, 1, 3, 7, 15, 30 and 45 seconds.
    #expect(begun == 7)
  }
}

/// Nodes that let calls run into their time limits.
@Suite struct HangingNodesTests {
  private let node = NodeID(rawValue: 1)

  @Test func `a node that hangs is asked by one call at a time, until it answers`() async throws {
    let (nodes, time) = (HangingNodes(), SteppedTime())
    func ask(_ error: DFSError? = nil) async throws -> Int {
      try await nodes.ask(node, { time.now }) {
        if let error { throw error }
        return 7
      }
    }
    #expect(try await ask() == 7)
    await #expect(throws: DFSError.self) { try await ask(DFSError(.unavailable, "refused")) }
    #expect(nodes.mayAsk(node, now: time.now), "it says no, and says it at once")
    await #expect(throws: DFSError.self) { try await ask(DFSError(.deadlineExceeded, "no answer")) }
    #expect(!nodes.mayAsk(node, now: time.now) && nodes.mayAsk(NodeID(rawValue: 2), now: time.now))
    let refusal = await #expect(throws: DFSError.self) { try await ask() }
    #expect(refusal?.code == .unavailable)
    time.pass(.seconds(15))
    #expect(nodes.mayAsk(node, now: time.now))
    let isOther = try await nodes.ask(node, { time.now }) { nodes.mayAsk(node, now: time.now) }
    #expect(!isOther, "while one call is under way there is no second one")
    #expect(nodes.mayAsk(node, now: time.now))
    #expect(try await ask() == 7)
  }

  @Test func `what gets ahead slowly is waited for, and what does not is given up`() async throws {
    let clock = ManualClock()
    let (steps, step) = AsyncStream<Void>.makeStream()
    let (signs, signed) = AsyncStream<Void>.makeStream()
    func watch() async throws -> Int {
      try await watched(patience: .seconds(10), clock, "the test") { sign in
        var count = 0
        for await _ in steps {
          sign()
          signed.yield()
          count += 1
        }
        try Task.checkCancellation()
        return count
      }
    }
    func sleeping() async { while clock.sleeperCount < 1 { await Task.yield() } }
    let slow = Task { try await watch() }
    var iterator = signs.makeAsyncIterator()
    for _ in 0..<5 {
      await sleeping()
      step.yield()
      _ = await iterator.next()
      clock.advance(by: .seconds(10))
    }
    await sleeping()
    clock.advance(by: .seconds(9))
    #expect(clock.sleeperCount == 1)
    clock.advance(by: .seconds(1))
    let error = await #expect(throws: DFSError.self) { try await slow.value }
    #expect(error?.code == .deadlineExceeded && error?.message.contains("the test") == true)
    #expect(try await watched(patience: .seconds(10), clock, "a quick one") { _ in 7 } == 7)
  }
}
