import DFSClient
import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import Logging

/// What every datanode says it has, beside what the manifests of all files name.
struct Inventory: Sendable {
  /// One copy of a chunk.
  struct Copy: Hashable, Sendable, CustomStringConvertible {
    let node: NodeID
    let group: GroupID
    let chunk: ChunkID
    let root: Digest
    var description: String { "chunk \(chunk) of group \(group) on \(node)" }
  }

  private(set) var wanted: Set<Copy> = []
  private(set) var found: Set<Copy> = []

  /// Copies that lack.
  var missing: Set<Copy> { wanted.subtracting(found) }
  /// Copies that no file needs, or not there.
  var orphans: Set<Copy> { found.subtracting(wanted) }

  /// Asks the coordinator for every manifest and every datanode for everything, each byte verified.
  init(of site: ChaosSite) async throws {
    let client = site.observer
    for try await entry in client.entries(of: .root, recursive: true)
    where entry.attributes.kind == .file && !entry.attributes.isInline {
      let path = try RemotePath("/" + entry.path)
      for chunk in try await client.chunks(of: path, count: entry.attributes.chunkCount).chunks {
        for replica in chunk.replicas {
          wanted.insert(Copy(node: replica.node, group: chunk.group, chunk: chunk.id, root: chunk.root))
        }
      }
    }
    let loops = try await site.cluster.inside { NetworkLoops(count: 1) }
    do {
      try await look(at: site, loops)
      await loops.shutdown()
    } catch {
      await loops.shutdown()
      throw error
    }
  }

  private mutating func look(at site: ChaosSite, _ loops: NetworkLoops) async throws {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    func channel(_ address: String) throws -> RPCChannel {
      RPCChannel(
        endpoints: [try Endpoint(address)], configuration: RPCChannel.Configuration(), loops: loops,
        logger: logger)
    }
    let coordinator = try channel(site.cluster.coordinatorAddress)
    var groups: [GroupID] = []
    var request = WireGetGroupsRequest()
    while true {
      let answer = try await coordinator.call(CoordinatorMethods.getGroups, request)
      groups += answer.groups.map { GroupID(rawValue: $0.id) }
      guard answer.hasNextGroup else { break }
      request.fromGroup = answer.nextGroup
    }
    await coordinator.close()
    for node in try await site.observer.nodes() where node.state == .up {
      let datanode = try channel(node.address)
      for group in groups { try await list(group, on: node.id, datanode) }
      await datanode.close()
    }
  }

  private mutating func list(_ group: GroupID, on node: NodeID, _ datanode: RPCChannel) async throws {
    var request = WireListChunksRequest()
    request.group = group.rawValue
    request.node = node.rawValue
    request.pageSize = 256
    request.verify = true
    while true {
      let answer = try await datanode.call(
        DataNodeMethods.listChunks, request, options: CallOptions(timeout: .seconds(60)))
      for chunk in answer.chunks {
        let root = try Digest(wire: chunk.root, "a listed root")
        found.insert(Copy(node: node, group: group, chunk: ChunkID(chunk.chunk), root: root))
      }
      guard answer.more, let last = answer.chunks.last else { return }
      request.after = last.chunk
    }
  }
}
