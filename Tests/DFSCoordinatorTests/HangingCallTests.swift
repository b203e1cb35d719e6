import DFSCore
import DFSMetadata
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSCoordinator

/// Repair while a node takes an order and then says nothing.
@Suite(.timeLimit(.minutes(2))) struct HangingCallTests {
  private func run(
    _ body: (CoordinatorScene, ScriptedDataNodes, [ScriptedNode]) async throws -> Void
  ) async throws {
    let datanodes = ScriptedDataNodes()
    try await datanodes.serve { address in
      try await CoordinatorScene.run { configuration in
        // Few groups, so that files meet in one, and some do not.
        configuration.placement.fewestGroups = 6
        configuration.placement.slotsPerNode = 6
      } _: { scene in
        try await body(scene, datanodes, try await scene.join(3, address: address))
      }
    }
  }

  /// Runs `body` beside one step of a job, and gives what the step did.
  private func beside(
    _ job: RepairGroups, _ body: () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { _ = try await job.step() }
      try await body()
      try await tasks.waitForAll()
    }
  }

  /// Lets time pass for a job that sleeps until it looks again, and for the watch over one order.
  private func pass(_ duration: Duration, on clock: ManualClock) async throws {
    var passed = Duration.zero
    while passed < duration {
      try await until { clock.sleeperCount >= 2 }
      clock.advance(by: .milliseconds(500))
      passed += .milliseconds(500)
    }
  }

  /// Throws when the test has run out of time.
  private func until(_ isTrue: () -> Bool) async throws {
    while !isTrue() {
      try Task.checkCancellation()
      await Task.yield()
    }
  }

  /// Never returns before `gate` is finished or the call has ended.
  private func hang(_ gate: AsyncStream<Void>) async { for await _ in gate {} }

  @Test func `a copy that hangs does not keep other groups from being repaired, however long`() async throws {
    try await run { scene, datanodes, nodes in
      let (gate, open) = AsyncStream<Void>.makeStream()
      let (begun, begin) = AsyncStream<Void>.makeStream()
      try await scene.store("/first", on: Array(nodes.prefix(2)), datanodes, chunks: 1)
      let hanging = scene.unfinished
      #expect(hanging.count == 1)
      datanodes.beforeCopies {
        begin.finish()
        await hang(gate)
      }
      let clock = ManualClock()
      try await beside(scene.repair(clock: clock)) {
        await hang(begun)
        try await pass(.seconds(100), on: clock)
        // What comes in now is in other groups, and node 2 misses it.
        var others: Set<GroupID> = []
        for number in 0..<100 where others.isEmpty {
          try await scene.store("/\(number)", on: [nodes[0], nodes[2]], datanodes, chunks: 1)
          others = scene.unfinished.subtracting(hanging)
        }
        #expect(!others.isEmpty)
        try await pass(.milliseconds(500), on: clock)
        try await until { scene.unfinished.isDisjoint(with: others) }
        #expect(scene.unfinished == hanging, "the first order is still unanswered")
        open.finish()
      }
      #expect(scene.unfinished.isEmpty)
    }
  }

  @Test func `a copy that does not get ahead is given up, and its node asked later`() async throws {
    try await run { scene, datanodes, nodes in
      let (gate, open) = AsyncStream<Void>.makeStream()
      let (begun, begin) = AsyncStream<Void>.makeStream()
      try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes, chunks: 1)
      datanodes.beforeCopies {
        begin.finish()
        await hang(gate)
      }
      let clock = ManualClock()
      let job = scene.repair(clock: clock)
      try await beside(job) {
        await hang(begun)
        try await pass(.seconds(120), on: clock)
      }
      #expect(!scene.unfinished.isEmpty)
      let lists = datanodes.lists
      scene.time.pass(.seconds(4))
      for node in nodes { try await node.beat(at: scene) }
      _ = try await job.step()
      #expect(datanodes.lists == lists, "nobody is asked in vain for a node that hangs")
      open.finish()
      scene.time.pass(.seconds(8))
      for node in nodes { try await node.beat(at: scene) }
      scene.time.pass(.seconds(8))
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty)
    }
  }

  @Test func `a look for lost chunks that hangs does not keep groups from being repaired`() async throws {
    try await run { scene, datanodes, nodes in
      let (gate, open) = AsyncStream<Void>.makeStream()
      let (begun, begin) = AsyncStream<Void>.makeStream()
      let lost = try await scene.store("/lost", on: nodes, datanodes, chunks: 1)
      let group = try #require(scene.group(of: lost[0]))
      scene.coordinator.cluster.withState { $0.repair.lost(lost, of: group) }
      // A former holder, which is asked and hangs.
      var fourth = ScriptedNode(4)
      fourth.address = nodes[0].address
      try await fourth.register(at: scene)
      try await fourth.beat(at: scene)
      datanodes.beforeGroupLists {
        begin.finish()
        await hang(gate)
      }
      try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes, chunks: 1)
      #expect(!scene.unfinished.isEmpty)
      try await beside(scene.repair()) {
        await hang(begun)
        try await until { scene.unfinished.isEmpty }
        open.finish()
      }
    }
  }

  @Test func `a pause ends a step that has more to do`() async throws {
    try await run { scene, datanodes, nodes in
      try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes, chunks: 1)
      let job = scene.repair()
      job.changePace(percent: 0)
      _ = try await job.step()
      #expect(!scene.unfinished.isEmpty)
      job.changePace(percent: 10)
      _ = try await job.step()
      #expect(scene.unfinished.isEmpty)
    }
  }

  @Test func `calls to a node that falls silent end when it is down`() async throws {
    try await run { scene, datanodes, nodes in
      let (gate, open) = AsyncStream<Void>.makeStream()
      try await scene.store("/f", on: Array(nodes.prefix(2)), datanodes, chunks: 1)
      datanodes.beforeCopies {
        try await scene.pass(12, beating: Array(nodes.prefix(2)))
        await hang(gate)
      }
      let job = scene.repair()
      _ = try await job.step()
      #expect(!scene.unfinished.isEmpty, "node 3 has not answered")
      open.finish()
      try await scene.pass(4, beating: nodes)
      for _ in 0..<5 where !scene.unfinished.isEmpty {
        _ = try await job.step()
        scene.time.pass(.seconds(5))
      }
      #expect(scene.unfinished.isEmpty, "it is called anew when it is back")
    }
  }
}
