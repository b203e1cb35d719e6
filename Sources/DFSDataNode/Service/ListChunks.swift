import DFSCore
import DFSWire

/// One page of a group's inventory.
extension DataNodeService {
  func listChunks(_ request: WireListChunksRequest) async throws -> WireListChunksResponse {
    let group = GroupID(rawValue: request.group)
    let after = request.hasAfter ? ChunkID(request.after) : nil
    let limit = request.pageSize == 0 ? Self.largestPage : min(Int(request.pageSize), Self.largestPage)
    let page = try await disk.run { [store] in try store.list(group, after: after, limit: limit) }
    return .with {
      $0.chunks = page.chunks.map { found in
        .with {
          $0.chunk = WireChunkId(found.chunk)
          $0.length = UInt32(found.length)
          $0.root = found.root.wire
        }
      }
      $0.more = page.more
    }
  }

  private static let largestPage = 10_000
}
