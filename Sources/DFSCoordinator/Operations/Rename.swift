import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func rename(_ request: WireRenameRequest) async throws -> WireRenameResponse {
    let id = try RequestID(request.requestID)
    let (source, target) = (try RemotePath(request.source), try RemotePath(request.target))
    let settled = try await namespace.mutate(
      Rename(source: source, target: target, existing: request.noReplace ? .refuse : .replace), id: id)
    var response = WireRenameResponse()
    response.revision = settled.revision.rawValue
    return response
  }
}
