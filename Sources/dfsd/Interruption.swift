import DFSCore
import Foundation
import UnixSignals

/// Turns SIGINT and SIGTERM into the cancellation of a command, which then tidies up (an upload is aborted).
/// A second signal ends the process at once.
enum Interruption {
  static func run<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws
    -> Result
  {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        for await _ in signals { return nil }
        throw CancellationError()
      }
      defer { group.cancelAll() }
      while let outcome = try await group.next() {
        if let outcome { return outcome }
        group.cancelAll()
        Terminal.note("dfsd: interrupted, tidying up; once more to stop at once")
        // The sequence above has ended; the default action comes back for the second signal.
        signal(SIGINT, SIG_DFL)
        signal(SIGTERM, SIG_DFL)
      }
      throw DFSError(.cancelled, "interrupted")
    }
  }
}
