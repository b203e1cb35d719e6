package import DFSCore
package import DFSMetadata
import DFSRPC
package import DFSTransport
import DFSWire
package import Logging

/// Keeps the copies of the metadata going: one task for each node that is to have one, as long as it is wanted.
///
/// Asynchronous: the rounds never wait for it, so what a lost disk takes with it are the rounds of the last moment,
/// and `status` tells how many those would be. Rounds that were settled shortly one after another travel together.
package final class MetadataCopies: Sendable {
  let namespace: Namespace
  let cluster: Cluster
  let board: CopyBoard
  let channels: NodeChannels
  let disk: BlockingThreads
  let logger: Logger
  let turns = CheckpointTurns()
  private let (starts, start) = AsyncStream<NodeID>.makeStream()

  package init(
    namespace: Namespace, cluster: Cluster, board: CopyBoard, channels: NodeChannels, disk: BlockingThreads,
    logger: Logger
  ) {
    self.namespace = namespace
    self.cluster = cluster
    self.board = board
    self.channels = channels
    self.disk = disk
    self.logger = logger
  }

  /// Lives until it is cancelled. Call it once.
  package func run() async {
    await withDiscardingTaskGroup { group in
      for await node in starts { group.addTask { await self.keep(node) } }
    }
  }

  /// Sets the nodes that keep copies.
  package func want(_ nodes: [NodeID]) {
    for node in board.want(nodes) { start.yield(node) }
  }

  private static let firstPause = Duration.milliseconds(500)
  /// A node that is back is sent to soon: until then the metadata lacks a copy.
  private static let longestPause = Duration.seconds(5)

  private func keep(_ node: NodeID) async {
    var pause = Self.firstPause
    while !Task.isCancelled {
      guard board.isWanted(node) || !board.ended(node) else {
        return logger.info("no longer keeps a copy of the metadata", metadata: ["node": "\(node)"])
      }
      do {
        var session = CopySession(self, node: node) { pause = Self.firstPause }
        try await session.run()
      } catch {
        if Task.isCancelled { return }
        let error = DFSError(wrapping: error, "the copy of the metadata failed")
        if board.failed(node, error) {
          logger.warning(
            "a copy of the metadata stopped; trying again",
            metadata: ["node": "\(node)", "error": "\(error)"])
        }
        do { try await Task.sleep(for: pause) } catch { return }
        pause = min(pause * 2, Self.longestPause)
      }
    }
  }
}

/// One checkpoint is sent at a time: the others go on with their rounds meanwhile.
final class CheckpointTurns: Sendable {
  private let holder = Turn()

  private actor Turn {
    private var isTaken = false
    func take() -> Bool {
      defer { isTaken = true }
      return !isTaken
    }
    func giveBack() { isTaken = false }
  }

  /// Runs `body` when no other checkpoint is being sent; else gives `nil` at once.
  nonisolated(nonsending) func run<Result>(_ body: () async throws -> Result) async throws -> Result? {
    guard await holder.take() else { return nil }
    do {
      let result = try await body()
      await holder.giveBack()
      return result
    } catch {
      await holder.giveBack()
      throw error
    }
  }
}
