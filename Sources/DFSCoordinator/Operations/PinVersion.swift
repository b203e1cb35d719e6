import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func pinVersion(_ request: WirePinVersionRequest) async throws -> WirePinVersionResponse {
    try check(request.inodes.count, atMost: 1000, "versions")
    let (namespace, inodes) = (namespace, request.inodes)
    var response = WirePinVersionResponse()
    response.pinMs = UInt64(configuration.namespace.pinDuration.milliseconds)
    response.gone = try await disk.run {
      try inodes.filter { inode in
        do {
          try namespace.pin(InodeID(rawValue: inode))
          return false
        } catch let error as DFSError where error.code == .notFound {
          return true
        }
      }
    }
    return response
  }
}
