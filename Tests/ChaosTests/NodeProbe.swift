import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Logging
import TestSupport

/// Asks servers directly for what no client needs: the inventories of datanodes, every byte verified.
struct NodeProbe: Sendable {
  struct Chunk: Hashable, Sendable {
    let group: GroupID
    let chunk: ChunkID
    let root: Digest
  }

  private let coordinator: String
  private let loops: NetworkLoops

  init(_ cluster: ProcessCluster) async throws {
    coordinator = cluster.coordinatorAddress
    loops = try await cluster.inside { NetworkLoops(count: 1) }
  }

  func close() async { await loops.shutdown() }

  /// Everything that a datanode has and that is good. It moves bad copies aside and reports them.
  func chunks(on node: NodeID, at address: String) async throws -> Set<Chunk> {
    let groups = try await groups()
    return try await with(address) { channel in
      var found: Set<Chunk> = []
      for group in groups { found.formUnion(try await list(group, on: node, channel)) }
      return found
    }
  }

  private func groups() async throws -> [GroupID] {
    try await with(coordinator) { channel in
      var groups: [GroupID] = []
      var request = WireGetGroupsRequest()
      while true {
        let answer = try await channel.call(
          CoordinatorMethods.getGroups, request, options: CallOptions(timeout: .seconds(10)))
        groups += answer.groups.map { GroupID(rawValue: $0.id) }
        guard answer.hasNextGroup else { return groups }
        request.fromGroup = answer.nextGroup
      }
    }
  }

  private func list(_ group: GroupID, on node: NodeID, _ channel: RPCChannel) async throws -> Set<Chunk> {
    var found: Set<Chunk> = []
    var request = WireListChunksRequest()
    request.group = group.rawValue
    request.node = node.rawValue
    request.verify = true
    while true {
      let answer = try await channel.call(
        DataNodeMethods.listChunks, request, options: CallOptions(timeout: .seconds(60)))
      for chunk in answer.chunks {
        let root = try Digest(wire: chunk.root, "a listed root")
        found.insert(Chunk(group: group, chunk: ChunkID(chunk.chunk), root: root))
      }
      guard answer.more, let last = answer.chunks.last else { return found }
      request.after = last.chunk
    }
  }

  private func with<Result: Sendable>(
    _ address: String, _ body: (RPCChannel) async throws -> Result
  ) async throws -> Result {
    var logger = Logger(label: "dfs.probe")
    logger.logLevel = .critical
    let channel = RPCChannel(
      endpoints: [try Endpoint(address)], configuration: RPCChannel.Configuration(), loops: loops,
      logger: logger)
    do {
      let result = try await body(channel)
      await channel.close()
      return result
    } catch {
      await channel.close()
      throw error
    }
  }
}
