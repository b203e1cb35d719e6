import DFSCore
import Testing

@testable import DFSClient

struct ChunkReadPlanTests {
  private let start = ContinuousClock.now
  private let nodes = (1...3).map { NodeID(rawValue: $0) }
  private let chunk = ChunkID(inode: InodeID(rawValue: 9), index: 2)

  private func plan(_ range: Range<Int> = 0..<Block.size * 4, patience: Duration = .seconds(10))
    -> ChunkReadPlan
  {
    ChunkReadPlan(chunk: chunk, range: range, order: nodes, patience: patience, now: start)
  }

  private func asked(_ step: ChunkReadPlan.Step) -> ChunkReadPlan.Attempt? {
    if case .ask(let attempt) = step { attempt } else { nil }
  }

  @Test func `a range begins with the block that holds its first byte`() throws {
    var plan = plan(Block.size + 5..<Block.size * 3)
    #expect(asked(try plan.nextStep(now: start))?.offset == Block.size)
  }

  @Test func `the next replica goes on where the last one stopped, without the leaves`() throws {
    var plan = plan()
    #expect(asked(try plan.nextStep(now: start)) == .init(node: nodes[0], offset: 0, needsLeaves: true))
    plan.gotLeaves()
    plan.progressed(to: Block.size * 2, now: start)
    plan.failed(nodes[0], DFSError(.unavailable, "cut off"))
    #expect(
      asked(try plan.nextStep(now: start))
        == .init(node: nodes[1], offset: Block.size * 2, needsLeaves: false))
    plan.progressed(to: Block.size * 4, now: start)
    #expect(plan.isDone)
    #expect(plan.faults == [nodes[0]: .unreachable])
  }

  @Test func `a chunk is lost only when the freshly read group says so`() throws {
    var plan = plan()
    for node in nodes { plan.failed(node, DFSError(.notFound, "no such chunk")) }
    guard case .refreshGroup = try plan.nextStep(now: start) else { return #expect(Bool(false)) }
    // Another member has appeared: it is asked before anything is declared lost.
    let fresh = NodeID(rawValue: 4)
    plan.refreshed(order: [fresh] + nodes)
    #expect(asked(try plan.nextStep(now: start))?.node == fresh)
    plan.failed(fresh, DFSError(.notFound, "no such chunk"))
    let error = #expect(throws: DFSError.self) { try plan.nextStep(now: start) }
    #expect(error?.code == .corrupt && error?.metadata["chunk"] == chunk.description)
  }

  @Test func `a chunk that is bad everywhere is corrupt at once, without waiting for patience`() throws {
    var plan = plan()
    for node in nodes { plan.failed(node, DFSError(.corrupt, "bad hash")) }
    _ = try plan.nextStep(now: start)
    plan.refreshed(order: nodes)
    let error = #expect(throws: DFSError.self) { try plan.nextStep(now: start) }
    #expect(error?.code == .corrupt)
  }

  @Test func `nodes that do not answer are asked again until patience ends`() throws {
    var plan = plan()
    var now = start
    var rounds = 0
    let error = #expect(throws: DFSError.self) {
      while true {
        switch try plan.nextStep(now: now) {
        case .ask(let attempt): plan.failed(attempt.node, DFSError(.unavailable, "connection refused"))
        case .refreshGroup(let pause):
          now += max(pause, .milliseconds(1))
          rounds += 1
          plan.refreshed(order: nodes)
        }
      }
    }
    #expect(error?.code == .unavailable)
    #expect(rounds > 3 && start.duration(to: now) >= .seconds(10) && start.duration(to: now) < .seconds(13))
  }

  @Test func `a bad replica is not asked again while another may come back`() throws {
    var plan = plan()
    plan.failed(nodes[0], DFSError(.corrupt, "bad hash"))
    plan.failed(nodes[1], DFSError(.unavailable, "silent"))
    plan.failed(nodes[2], DFSError(.unavailable, "silent"))
    _ = try plan.nextStep(now: start)
    plan.refreshed(order: nodes)
    var asked: [NodeID] = []
    while let attempt = self.asked(try plan.nextStep(now: start)) {
      asked.append(attempt.node)
      plan.failed(attempt.node, DFSError(.unavailable, "silent"))
    }
    #expect(asked == [nodes[1], nodes[2]])
  }

  @Test func `a hedge that fails first is not asked again in the same round`() throws {
    var plan = plan()
    #expect(plan.alternative?.node == nodes[1])
    plan.failed(nodes[1], DFSError(.unavailable, "refused"))
    plan.failed(nodes[0], DFSError(.unavailable, "silent"))
    #expect(asked(try plan.nextStep(now: start))?.node == nodes[2])
  }
}
