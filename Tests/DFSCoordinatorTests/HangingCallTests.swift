import DFSCore
import DFSMetadata
import NIOConcurrencyHelpers
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

  /// Never returns before `gate` is finished or the call has ended.
  private func hang(_ gate: AsyncStream<Void>) async { for await _ in gate {} }

  @Test func `a copy that hangs does not keep other groups from being repaired`() async throws {
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
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { _ = try await scene.repair().step() }
        await hang(begun)
        // What comes in now is in other groups, and node 2 misses it.
        var others: Set<GroupID> = []
        for number in 0..<100 where others.isEmpty {
          try await scene.store("/\(number)", on: [nodes[0], nodes[2]], datanodes, chunks: 1)
          others = scene.unfinished.subtracting(hanging)
        }
        #expect(!others.isEmpty)
        while !scene.unfinished.isDisjoint(with: others) { try await Task.sleep(for: .milliseconds(5)) }
        #expect(scene.unfinished == hanging, "the first order is still unanswered")
        open.finish()
        try await tasks.waitForAll()
      }
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
