import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func undelete(_ request: WireUndeleteRequest) async throws -> WireUndeleteResponse {
    let id = try RequestID(request.requestID)
    let deletion = try DeletionID(argument: request.deletion)
    let target = request.target.isEmpty ? nil : try RemotePath(request.target)
    let settled = try await namespace.mutate(Undelete(deletion: deletion, target: target), id: id)
    var response = WireUndeleteResponse()
    response.path = settled.outcome.path.description
    response.revision = settled.revision.rawValue
    // It is back, whatever became of it since: a failure to read it must not look like a failure of this.
    let inode = settled.outcome.inode
    let found = try? await read(.few) { view in try view.version(inode) }
    if var status = found ?? nil {
      // What binds a name gives it its revision.
      status.revision = settled.revision
      response.attributes = WireAttributes(status)
    } else {
      response.attributes.inode = inode.rawValue
      response.attributes.type = settled.outcome.kind == .file ? .file : .directory
    }
    return response
  }
}
