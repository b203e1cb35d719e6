package import DFSCore
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// The event loops of the process, one per core, each with its executor, and what all connections on them
/// share: the budget for received bytes and the threads that read file payload for encrypted connections.
package final class NetworkLoops: Sendable {
  package let executors: [LoopExecutor]
  /// What all connections together may hold of received and not yet consumed bytes.
  package let receiveBudget: ReceiveBudget
  package let fileThreads: BlockingThreads
  let group: MultiThreadedEventLoopGroup
  private let turn = NIOLockedValueBox(0)

  package init(
    count: Int = ProcessInfo.processInfo.activeProcessorCount, receiveBudget: ByteCount = .mib(64)
  ) {
    precondition(count > 0, "the network needs a loop")
    AllocatorTuning.apply()
    group = MultiThreadedEventLoopGroup(numberOfThreads: count)
    executors = group.makeIterator().map { LoopExecutor(loop: $0) }
    self.receiveBudget = ReceiveBudget(limit: receiveBudget)
    fileThreads = BlockingThreads(count: 2, name: "dfs-file")
  }

  /// The executor of the loop whose thread this is, or nothing on any other thread. A handler that calls
  /// out uses the connection of its own loop and saves two thread hops a message.
  package var current: LoopExecutor? { executors.first { $0.loop.inEventLoop } }

  /// The loops in rotation.
  package func next() -> LoopExecutor {
    let index = turn.withLockedValue { turn in
      turn = (turn + 1) % executors.count
      return turn
    }
    return executors[index]
  }

  func executor(of loop: any EventLoop) -> LoopExecutor {
    executors.first { $0.loop === loop } ?? executors[0]
  }

  /// Returns when every loop has taken its turn once: not as long as one of them hangs. For watchdogs.
  package func waitForTurn() async {
    for executor in executors {
      await withCheckedContinuation { turn in executor.loop.execute { turn.resume() } }
    }
  }

  /// Closes what is still open and ends the threads. Call it last.
  package func shutdown() async {
    fileThreads.shutdown()
    // The group refuses only a second shutdown, which is what was asked for.
    try? await group.shutdownGracefully()
  }
}
