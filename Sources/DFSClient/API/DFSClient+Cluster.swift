import DFSCore
import DFSRPC
import DFSWire
import Foundation

extension DFSClient {
  /// The state of the cluster at a glance.
  public func status() async throws -> ClusterStatus {
    try await operation { [connection] in
      let answer = try await connection.read(CoordinatorMethods.getStatus, WireGetStatusRequest())
      connection.saw(revision: answer.revision)
      return try ClusterStatus(answer)
    }
  }

  /// All datanodes, in order of their ids.
  public func nodes() async throws -> [NodeStatus] {
    try await operation { [connection] in
      var nodes: [NodeStatus] = []
      var request = WireListNodesRequest()
      while true {
        let answer = try await connection.read(CoordinatorMethods.listNodes, request)
        nodes += answer.nodes.map { NodeStatus($0) }
        guard answer.hasNextNode else { return nodes }
        request.fromNode = answer.nextNode
      }
    }
  }

  /// A file's attributes, and `count` of its chunks from position `first` on with the nodes that hold them. A
  /// file whose content lies in the metadata has none.
  public func chunks(
    of path: RemotePath, from first: Int = 0, count: Int = 1024
  ) async throws -> (attributes: FileAttributes, chunks: [ChunkLocation]) {
    try await operation { [connection] in
      let version = try await FileVersion.open(path, connection)
      guard version.inline == nil else { return (version.attributes, []) }
      let end = min(version.attributes.chunkCount, first + count)
      var chunks: [ChunkLocation] = []
      for position in first..<max(first, end) {
        chunks.append(try await connection.location(of: version.chunk(position)))
      }
      return (version.attributes, chunks)
    }
  }
}

extension ClusterConnection {
  fileprivate func location(of chunk: FileChunk) async throws -> ChunkLocation {
    var row = self.row(of: chunk.group)
    if row == nil { row = try await refresh(chunk.group) }
    let map = withKnowledge { $0.map }
    return ChunkLocation(
      id: chunk.id, offset: ByteCount(chunk.offset), length: ByteCount(chunk.length), group: chunk.group,
      root: chunk.root,
      replicas: (row?.members ?? []).map { member in
        ChunkLocation.Replica(
          node: member.node, address: map.addresses[member.node], zone: map.zones[member.node] ?? "",
          state: member.state, isReachable: member.isReachable)
      })
  }
}
