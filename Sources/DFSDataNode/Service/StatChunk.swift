import DFSCore
import DFSWire

/// What the node has of a chunk; with `verify`, after reading every byte of it.
extension DataNodeService {
  func statChunk(_ request: WireStatChunkRequest) async throws -> WireStatChunkResponse {
    guard request.hasChunk else { throw DFSError(.invalidArgument, "a chunk id is missing") }
    let chunk = ChunkID(request.chunk)
    let group = GroupID(rawValue: request.group)
    let verify = request.verify
    let found = try await reportingCorruption(of: chunk, in: group) {
      try await self.disk.run { [store = self.store] in
        verify ? try store.verify(chunk, in: group) : try store.stat(chunk, in: group)
      }
    }
    guard let found else {
      throw DFSError(
        .notFound, "node \(identity.node) has no chunk \(chunk)", metadata: ["chunk": chunk.description])
    }
    return .with {
      $0.length = UInt32(found.length)
      $0.root = found.root.wire
      $0.storedBytes = UInt64(found.storedBytes.rawValue)
    }
  }
}
