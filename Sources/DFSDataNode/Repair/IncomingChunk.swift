import DFSChunkStore
import DFSCodec
import DFSCore
import DFSCrypto
import DFSWire
import Metrics
import NIOConcurrencyHelpers

/// Why a piece of a copy was not taken: it decides whether another source helps.
enum CopyFault: Error {
  /// What came is not the chunk that was ordered.
  case source(DFSError)
  /// This node can not keep it.
  case own(DFSError)
}

/// A chunk that is copied from other nodes to this one. Nothing is written that was not compared with its
/// hash, so a source may fail at any point and the next one goes on there.
///
/// Its functions block on disk and are called one after another.
final class IncomingChunk: Sendable {
  private struct State {
    var sink: (any ChunkWriter)?
    var leaves: [Digest] = []
    var offset = 0
  }

  let wanted: CopyOrder.Chunk
  private let store: any ChunkStore
  private let syncTime: Timer
  private let state = NIOLockedValueBox(State())

  init(_ wanted: CopyOrder.Chunk, in store: any ChunkStore, syncTime: Timer) {
    self.wanted = wanted
    self.store = store
    self.syncTime = syncTime
  }

  /// Verified and written up to here.
  var offset: Int { state.withLockedValue { $0.offset } }
  var hasLeaves: Bool { state.withLockedValue { !$0.leaves.isEmpty } }

  /// Claims the space. Throws `.exhausted` and `.unavailable` as the store does.
  func begin() throws {
    let sink = try store.begin(
      ChunkPlan(
        chunk: wanted.chunk, group: wanted.group, largestLength: wanted.length, length: wanted.length))
    state.withLockedValue { $0.sink = sink }
  }

  /// Takes the hashes of all blocks, when they give the root that was ordered.
  func take(_ header: WireReadChunkHeader, leaves: [Digest]) throws {
    guard Int(header.length) == wanted.length, leaves.count == Block.count(of: wanted.length),
      MerkleTree.root(of: leaves) == wanted.root
    else { throw CopyFault.source(bad("comes with hashes that do not give its root")) }
    state.withLockedValue { $0.leaves = leaves }
  }

  /// Verifies the piece against its hashes and writes it; with the last one makes the chunk durable and
  /// returns it; what else has its id is moved to quarantine then. Throws `CopyFault`.
  func take(_ piece: ChunkPiece) throws -> ChunkDescription? {
    let (sink, leaves, offset) = state.withLockedValue { ($0.sink, $0.leaves, $0.offset) }
    guard let sink else { throw CopyFault.own(DFSError(.internal, "a copy was not begun")) }
    guard case .bytes(let payload) = piece.payload, Int(piece.offset) == offset else {
      throw CopyFault.source(bad("comes with another part than was asked for"))
    }
    let end = offset + payload.readableBytes
    guard end == wanted.length || payload.readableBytes % Block.size == 0, end <= wanted.length else {
      throw CopyFault.source(bad("comes with a part that does not end with a block"))
    }
    try payload.withUnsafeReadableBytes { bytes in
      let first = offset / Block.size
      var checksums: [UInt32] = []
      for start in stride(from: 0, to: bytes.count, by: Block.size) {
        let block = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + Block.size, bytes.count)])
        guard MerkleTree.verify(block, against: leaves[first + checksums.count]) else {
          throw CopyFault.source(bad("fails the hash of block \(first + checksums.count)"))
        }
        checksums.append(CRC32C.checksum(block))
      }
      let hashes = leaves[first..<first + checksums.count].flatMap(\.bytes)
      try own { try hashes.withUnsafeBytes { try sink.append(bytes, checksums: checksums, leaves: $0) } }
    }
    state.withLockedValue { $0.offset = end }
    guard end == wanted.length else { return nil }
    return try own {
      let start = ContinuousClock.now
      try giveWay()
      let stored = try sink.finish(length: end, root: wanted.root)
      syncTime.record(duration: ContinuousClock.now - start)
      return stored
    }
  }

  /// Another content under the id is no copy of the chunk that the coordinator means: it goes aside, where it is
  /// kept, once every byte of the right one is here. A crash in between leaves none in its place, which the next
  /// start tells.
  private func giveWay() throws {
    guard let found = try store.stat(wanted.chunk, in: wanted.group),
      found.root != wanted.root || found.length != wanted.length
    else { return }
    try store.quarantine(wanted.chunk, in: wanted.group)
  }

  /// Forgets what was not finished.
  func abort() { state.withLockedValue { $0.sink }?.abort() }

  private func own<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch {
      throw CopyFault.own(DFSError(wrapping: error, "chunk \(wanted.chunk) could not be kept"))
    }
  }

  private func bad(_ how: String) -> DFSError {
    DFSError(.corrupt, "chunk \(wanted.chunk) \(how)", metadata: ["chunk": wanted.chunk.description])
  }
}
