import DFSChunkStore
import DFSJobs
import DFSTransport
import Logging

/// Gives the space of deleted small chunks back to the disk.
///
/// One step is a whole compaction. RocksDB compacts a range by whole tables, and one table holds the keys of many groups
/// because the chunks themselves lie in blob files: range by range the same tables would be rewritten again and again.
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
