import DFSCore
import Synchronization

/// One chunk file, opened: its descriptor and its footer.
final class OpenChunk: Sendable {
  let file: any OpenFile
  let footer: ChunkFooter

  init(file: any OpenFile, footer: ChunkFooter) {
    self.file = file
    self.footer = footer
  }
}

/// The chunk files that were read last, kept open: at most `capacity` descriptors and footers of up to 37
/// KiB.
final class OpenChunks: Sendable {
  private struct Entry: Sendable {
    var chunk: OpenChunk
    var lastUse: UInt64
  }
  private struct State: Sendable {
    var entries: [ChunkID: Entry] = [:]
    var uses: UInt64 = 0
    var removals: UInt64 = 0
  }

  private let state = Mutex(State())
  private let capacity: Int

  init(capacity: Int) { self.capacity = max(1, capacity) }

  var count: Int { state.withLock { $0.entries.count } }

  func chunk(_ id: ChunkID) -> OpenChunk? {
    state.withLock { state in
      state.uses += 1
      state.entries[id]?.lastUse = state.uses
      return state.entries[id]?.chunk
    }
  }

  /// How many chunks were removed so far: see `insert`.
  var removals: UInt64 { state.withLock { $0.removals } }

  /// Keeps the chunk, unless one was removed since `removals`: it could be this one, opened just before.
  func insert(_ chunk: OpenChunk, ifStill removals: UInt64) {
    let evicted: OpenChunk? = state.withLock { state in
      guard state.removals == removals else { return nil }
      state.uses += 1
      state.entries[chunk.footer.chunk] = Entry(chunk: chunk, lastUse: state.uses)
      guard state.entries.count > capacity else { return nil }
      let oldest = state.entries.min { $0.value.lastUse < $1.value.lastUse }
      return oldest.flatMap { state.entries.removeValue(forKey: $0.key) }?.chunk
    }
    // Dropped outside the lock, because the last reference closes the file.
    _ = evicted
  }

  /// Called when the chunk's name is gone already, so that nobody opens it anew.
  func remove(_ id: ChunkID) {
    let removed = state.withLock { state in
      state.removals += 1
      return state.entries.removeValue(forKey: id)
    }
    _ = removed
  }

  func removeAll() {
    let removed = state.withLock { state in
      defer { state.entries = [:] }
      return state.entries
    }
    _ = removed
  }
}
