import DFSChunkStore
import DFSTransport
import Logging

/// Gives the space of deleted small chunks back to the disk.
struct CompactionJob: Job {
  let name = "compaction"
  let store: any ChunkStore
  let disk: BlockingThreads
  let logger: Logger

  func step() async throws -> Duration {
    let outcome = try await disk.run { [store] in try store.compactIfNeeded() }
    if case .done(let freed) = outcome {
      logger.info("the space of deleted small chunks was given back", metadata: ["freed": "\(freed)"])
    }
    return .seconds(30)
  }
}
