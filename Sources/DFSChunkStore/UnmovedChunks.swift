import DFSCore
import Synchronization

/// Bad chunks that could not be moved aside, as on a disk that is full or read-only: they are where good ones
/// would be, and must not be taken for such. Known until they verify, are moved after all, or go. At most as many as the
/// store has chunks.
///
/// A start forgets them, for on such a disk nothing can be noted. The coordinator, which was told of them, has them
/// read again before it counts them (see its `ReplicaReports`); the scrub finds those that it does not know any more.
final class UnmovedChunks: Sendable {
  private let places = Mutex(Set<ChunkPlace>())

  func contains(_ chunk: ChunkID, in group: GroupID) -> Bool {
    places.withLock { !$0.isEmpty && $0.contains(ChunkPlace(chunk: chunk, group: group)) }
  }

  func insert(_ chunk: ChunkID, in group: GroupID) {
    _ = places.withLock { $0.insert(ChunkPlace(chunk: chunk, group: group)) }
  }

  func remove(_ chunk: ChunkID, in group: GroupID) {
    _ = places.withLock { $0.remove(ChunkPlace(chunk: chunk, group: group)) }
  }

  /// Throws `.corrupt` for one of them.
  func check(_ chunk: ChunkID, in group: GroupID) throws {
    guard contains(chunk, in: group) else { return }
    throw DFSError(
      .corrupt, "chunk \(chunk) was found bad and could not be moved aside",
      metadata: ["chunk": chunk.description])
  }
}
