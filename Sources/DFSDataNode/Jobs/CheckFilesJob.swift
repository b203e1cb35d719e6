import DFSChunkStore
import DFSCore
import DFSJobs
import NIOConcurrencyHelpers

/// Looks once after a start at the footer of every chunk file: one that was cut short while the node was down
/// is moved aside and reported now, and not when a reader or the scrub comes by.
final class CheckFilesJob: Job {
  private struct State {
    var cursor: ChunkPlace?
    var checked: UInt64 = 0
    var isDone = false
  }

  let name = "check_files"
  let what = "Looks at the end of every chunk file once after a start."
  private let service: DataNodeService
  private let state = NIOLockedValueBox(State())

  private static let pageSize = 256

  init(_ service: DataNodeService) { self.service = service }

  func beginPass() { state.withLockedValue { $0 = State() } }

  var progress: JobProgress? {
    let checked = state.withLockedValue { $0.checked }
    return JobProgress(
      done: checked, total: max(checked, UInt64(service.store.counts().chunks)), unit: "chunks")
  }

  func step() async throws -> Pace {
    let (cursor, isDone) = state.withLockedValue { ($0.cursor, $0.isDone) }
    if isDone { return .after(.seconds(86_400)) }
    let start = service.clock.now()
    let chunks = try await service.chunks(after: cursor, limit: Self.pageSize)
    state.withLockedValue { state in
      // A pass that was begun anew meanwhile begins at the beginning.
      guard state.cursor == cursor else { return }
      state.checked += UInt64(chunks.count)
      state.isDone = chunks.isEmpty
      if let last = chunks.last { state.cursor = ChunkPlace(chunk: last.chunk, group: last.group) }
    }
    try await service.pacer.rest(after: 0, took: start.duration(to: service.clock.now()))
    return .atOnce
  }
}
