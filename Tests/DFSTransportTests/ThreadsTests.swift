import DFSCore
import DFSTransport
import Foundation
import Testing

@Suite(.timeLimit(.minutes(1)))
struct `Loops and threads` {
  @Test func `a task with a loop's executor runs on that loop, also after it has waited`() async {
    let loops = NetworkLoops(count: 2)
    for executor in loops.executors {
      let isOnLoop = await Task(executorPreference: executor) {
        let before = executor.loop.inEventLoop
        await Task.yield()
        let child = await withTaskGroup(of: Bool.self) { group in
          group.addTask { executor.loop.inEventLoop }
          return await group.next() ?? false
        }
        return before && child && executor.loop.inEventLoop && loops.current === executor
      }.value
      #expect(isOnLoop)
    }
    #expect(loops.current == nil)
    await loops.shutdown()
  }

  @Test func `ten thousand tasks on two loops all come back`() async {
    let loops = NetworkLoops(count: 2)
    let total = await withTaskGroup(of: Int.self) { group in
      for number in 0..<10_000 {
        group.addTask(executorPreference: loops.next()) {
          await Task.yield()
          return number
        }
      }
      return await group.reduce(0, +)
    }
    #expect(total == 10_000 * 9999 / 2)
    await loops.shutdown()
  }

  @Test func `threads have their names, for whoever looks at the process from outside`() async throws {
    let threads = BlockingThreads(count: 1, name: "dfs-test")
    let name = try await threads.run { try String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8) }
    #expect(name == "dfs-test-0\n")
    threads.shutdown()
  }

  @Test func `blocking work returns, throws, is skipped when cancelled, and refused when too much waits`()
    async throws
  {
    let threads = BlockingThreads(count: 1, name: "test", queueLimit: 1)
    #expect(try await threads.run { 7 } == 7)
    await #expect(throws: DFSError.self) { try await threads.run { throw DFSError(.corrupt, "as asked") } }

    let gate = DispatchSemaphore(value: 0)
    let started = DispatchSemaphore(value: 0)
    let running = Task {
      try await threads.run {
        started.signal()
        gate.wait()
      }
    }
    try await BlockingThreads(count: 1, name: "wait").run { started.wait() }
    // One of three fits into the queue; the others are told at once.
    let answers = await withTaskGroup(of: DFSError.Code?.self) { group in
      for _ in 0..<3 {
        group.addTask {
          do {
            try await threads.run {}
            return nil
          } catch { return (error as? DFSError)?.code }
        }
      }
      let refusals = [await group.next(), await group.next()]
      gate.signal()
      return refusals + [await group.next()]
    }
    #expect(answers == [.exhausted, .exhausted, .some(nil)])
    try await running.value
    threads.shutdown()
    await #expect(throws: DFSError.self) { try await threads.run { 1 } }
  }
}
