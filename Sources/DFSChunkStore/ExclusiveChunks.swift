import DFSCore

/// Lets one thread at a time decide what is under a chunk's id: publish, delete, quarantine.
final class ExclusiveChunks: Sendable {
  private let held = Condition<Set<ChunkID>>([])

  /// Waits until none of `chunks` is held, takes all of them at once (so two callers can not block each
  /// other), and releases them after `body`.
  func with<Result>(_ chunks: [ChunkID], _ body: () throws -> Result) rethrows -> Result {
    let _: Void = held.wait { held in
      guard chunks.allSatisfy({ !held.contains($0) }) else { return nil }
      return held.formUnion(chunks)
    }
    defer { held.withLock { $0.subtract(chunks) } }
    return try body()
  }
}
