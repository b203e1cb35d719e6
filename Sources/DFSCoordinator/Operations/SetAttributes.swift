import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func setAttributes(_ request: WireSetAttributesRequest) async throws -> WireSetAttributesResponse {
    let id = try RequestID(request.requestID)
    let path = try RemotePath(request.path)
    try check(request.userAttributes.count, atMost: Limits.userAttributes, "user attributes")
    let bytes = request.userAttributes.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
    guard bytes <= Limits.userAttributeBytes else {
      throw DFSError(
        .invalidArgument, "user attributes take at most \(Limits.userAttributeBytes) bytes, not \(bytes)")
    }
    let user = request.userAttributes.mapValues { $0.isEmpty ? nil : [UInt8]($0) }
    let settled = try await namespace.mutate(
      SetAttributes(
        path: path, mode: request.hasMode ? try fileMode(request.mode, standard: 0) : nil,
        modified: request.hasModifiedNs ? FileTime(rawValue: request.modifiedNs) : nil, user: user),
      id: id)
    var response = WireSetAttributesResponse()
    response.revision = settled.revision.rawValue
    response.attributes = try await read(.few) { WireAttributes(try $0.stat(path)) }
    return response
  }
}
