import DFSChunkStore
import DFSJobs
import DFSTransport
import Logging

/// Gives the space of deleted small chunks back to the disk.
struct CompactionJob: Job {
  let name = "compaction"
  let what = "Gives the space of deleted small chunks back to the disk."
  let store: any ChunkStore
  let disk: BlockingThreads
  let logger: Logger

  func step() async throws -> Pace {
    let outcome = try await disk.run { [store] in try store.compactIfNeeded() }
    if case .done(let freed) = outcome {
      logger.info("the space of deleted small chunks was given back", metadata: ["freed": "\(freed)"])
    }
    return .after(.seconds(30))
  }
}
