package import DFSCore
package import DFSJobs
package import DFSKeyValue
package import DFSMetadata
package import DFSTransport
package import Logging
import Synchronization

/// Reads the whole metadata store about once a day and compares it with its digest, a little at a time, so that a
/// bad disk is noticed while copies are there to restore from.
package struct CheckMetadata: Job {
  package let name = "check_metadata"
  package let what = "Reads the whole metadata store and compares it with its checksums and its digest."

  private struct State: Sendable {
    var check: DigestCheck?
    var isWanted: Bool
    var records: UInt64 = 0
  }
  private final class Memory: Sendable {
    let state: Mutex<State>
    init(_ state: State) { self.state = Mutex(state) }
  }

  private let store: any OrderedStore
  private let disk: BlockingThreads
  private let logger: Logger
  private let memory: Memory

  private static let step = 10_000
  private static let period = Duration.seconds(86_400)

  /// `unfinished` is what the start has left to do.
  package init(store: any OrderedStore, disk: BlockingThreads, unfinished: DigestCheck?, logger: Logger) {
    self.store = store
    self.disk = disk
    self.logger = logger
    memory = Memory(State(check: unfinished, isWanted: unfinished != nil))
  }

  package var progress: JobProgress? {
    memory.state.withLock { JobProgress(done: $0.check?.records ?? $0.records, total: nil, unit: "records") }
  }

  package func beginPass() {
    memory.state.withLock { state in
      state.check = nil
      state.isWanted = true
    }
  }

  package func step() async throws -> Pace {
    let (held, isWanted) = memory.state.withLock { ($0.check, $0.isWanted) }
    guard isWanted else {
      // The start has just looked at everything; the first pass follows in a day.
      memory.state.withLock { $0.isWanted = true }
      return .after(Self.period)
    }
    let (check, step): (DigestCheck?, ScanStep)
    do {
      (check, step) = try await disk.run { [store] in
        guard var check = try held ?? DigestCheck(of: store) else { return (nil, .stop) }
        let step = try check.step(Self.step)
        return (check, step)
      }
    } catch let error as DFSError where error.code == .corrupt {
      logger.critical(
        "the metadata store is damaged: look at its disk, and restore it from the copies on datanodes",
        metadata: ["error": "\(error)"])
      memory.state.withLock { $0.check = nil }
      throw error
    }
    return memory.state.withLock { state in
      state.records = check?.records ?? 0
      state.check = step == .goOn ? check : nil
      return step == .goOn ? .after(.milliseconds(50)) : .after(Self.period)
    }
  }
}
