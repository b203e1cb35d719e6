import DFSCore
import NIOConcurrencyHelpers
import Testing

@testable import DFSDataNode

@Suite(.timeLimit(.minutes(1))) struct CopyPlanTests {
  private let chunk = ChunkID(inode: InodeID(rawValue: 1), index: 2)
  private let nodes = (1...3).map { NodeID(rawValue: $0) }

  private func verdict(_ codes: [DFSError.Code]) throws -> (DFSError.Code?, [NodeID]) {
    var plan = CopyPlan(chunk: chunk, sources: Array(nodes.prefix(codes.count)))
    for (index, code) in codes.enumerated() {
      #expect(try plan.nextSource() == index)
      plan.failed(DFSError(code, "for a test"))
    }
    let error = #expect(throws: DFSError.self) { try plan.nextSource() }
    return (error?.code, plan.badSources)
  }

  @Test func `the verdict says whether the chunk is lost, rotten or out of reach`() throws {
    #expect(try verdict([.notFound, .notFound]) == (.notFound, Array(nodes.prefix(2))))
    #expect(try verdict([.notFound, .corrupt]) == (.corrupt, Array(nodes.prefix(2))))
    #expect(try verdict([.unavailable, .corrupt, .notFound]) == (.unavailable, [nodes[1], nodes[2]]))
    #expect(try verdict([.stale]) == (.unavailable, []))
    #expect(try verdict([]).0 == .invalidArgument)
  }

  @Test func `so many copies run at once, the others wait their turn or give up`() async throws {
    let slots = CopySlots(2)
    let state = NIOLockedValueBox((running: 0, most: 0))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<20 {
        group.addTask {
          try await slots.run {
            state.withLockedValue {
              $0.running += 1
              $0.most = max($0.most, $0.running)
            }
            await Task.yield()
            state.withLockedValue { $0.running -= 1 }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(state.withLockedValue { $0.most } <= 2)
    // One that is cancelled while it waits costs no slot.
    let (hold, release) = AsyncStream<Void>.makeStream()
    let holders = (0..<2).map { _ in Task { try await slots.run { for await _ in hold { break } } } }
    let waiter = Task { try await slots.run {} }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
    release.finish()
    for holder in holders { try await holder.value }
    try await slots.run {}
  }
}
