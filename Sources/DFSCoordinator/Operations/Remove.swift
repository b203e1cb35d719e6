import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func remove(_ request: WireRemoveRequest) async throws -> WireRemoveResponse {
    let id = try RequestID(request.requestID)
    let path = try RemotePath(request.path)
    let precondition = try WritePrecondition(request.precondition)
    guard precondition != .ifAbsent else {
      throw DFSError(.invalidArgument, "what must be absent can not be removed")
    }
    let settled = try await namespace.mutate(
      Remove(
        path: path, scope: request.recursive ? .tree : .fileOrEmptyDirectory, precondition: precondition,
        disposal: request.now ? .now : .trash),
      id: id)
    var response = WireRemoveResponse()
    response.revision = settled.revision.rawValue
    response.deletion = settled.outcome.deletion?.description ?? ""
    return response
  }
}
