import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func makeDirectory(_ request: WireMakeDirectoryRequest) async throws -> WireMakeDirectoryResponse {
    let id = try RequestID(request.requestID)
    let path = try RemotePath(request.path)
    let attributes = FileAttributes(
      mode: try fileMode(request.mode, standard: 0o755), modified: FileTime(rawValue: 0))
    let policy = try PlacementPolicy.wanted(request.replicas)
    let settled = try await namespace.mutate(
      MakeDirectory(
        path: path, parents: request.makeParents ? .make : .mustExist, attributes: attributes, policy: policy),
      id: id)
    var response = WireMakeDirectoryResponse()
    response.revision = settled.revision.rawValue
    let inode = settled.outcome.inode
    response.attributes = try await read(.few) { view in
      if let status = try view.version(inode) { return WireAttributes(status) }
      var attributes = WireAttributes()
      attributes.inode = inode.rawValue
      attributes.type = .directory
      return attributes
    }
    return response
  }
}
