import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  /// Chunks in one manifest page of an answer.
  static let manifestPage = 1024

  func stat(_ request: WireStatRequest) async throws -> WireStatResponse {
    let path = try RemotePath(request.path)
    return try await read(.few) { view in
      var response = WireStatResponse()
      response.attributes = WireAttributes(try view.stat(path))
      response.revision = view.revision.rawValue
      return response
    }
  }
}
