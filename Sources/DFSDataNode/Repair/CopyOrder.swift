import DFSCore
import DFSWire

/// A checked order to copy chunks of one group.
struct CopyOrder: Sendable {
  /// A node that may have the chunks.
  struct Source: Sendable, Hashable {
    var node: NodeID
    var endpoint: Endpoint
  }

  /// One chunk to get.
  struct Chunk: Sendable, Hashable {
    var chunk: ChunkID
    var group: GroupID
    var length: Int
    var root: Digest
    /// Best first.
    var sources: [Source]
  }

  let epoch: Epoch
  let group: GroupID
  let groupEpoch: GroupEpoch
  let chunks: [Chunk]

  private static let mostChunks = 1000
  private static let mostSources = 256

  /// Throws `.invalidArgument` for an order that makes no sense.
  init(_ request: WireCopyChunksRequest) throws {
    epoch = try Epoch(request.epoch)
    let group = GroupID(rawValue: request.group)
    self.group = group
    groupEpoch = GroupEpoch(rawValue: request.groupEpoch)
    guard request.chunks.count <= Self.mostChunks, request.sources.count <= Self.mostSources else {
      throw DFSError(
        .invalidArgument,
        """
        an order to copy names at most \(Self.mostChunks) chunks and \(Self.mostSources) sources, not \
        \(request.chunks.count) and \(request.sources.count)
        """)
    }
    let sources = try request.sources.map {
      Source(node: NodeID(rawValue: $0.node), endpoint: try Endpoint($0.address))
    }
    chunks = try request.chunks.map { wanted in
      let chunk = ChunkID(wanted.chunk)
      guard wanted.hasChunk, (1...UInt32(ChunkSize.largest)).contains(wanted.length),
        wanted.sources.allSatisfy({ Int($0) < sources.count })
      else {
        throw DFSError(
          .invalidArgument, "the order to copy chunk \(chunk) has an impossible length or source",
          metadata: ["chunk": chunk.description])
      }
      return Chunk(
        chunk: chunk, group: group, length: Int(wanted.length),
        root: try Digest(wire: wanted.root, "the root of a chunk to copy"),
        sources: wanted.sources.map { sources[Int($0)] })
    }
  }
}
