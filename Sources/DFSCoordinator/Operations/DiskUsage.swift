import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  /// Entries counted by one call.
  private static let usageStep = 20_000

  func diskUsage(_ request: WireDiskUsageRequest) async throws -> WireDiskUsageResponse {
    let path = try RemotePath(request.path)
    let cursor = request.page.isEmpty ? nil : try UsageCursor(token: request.page)
    let step = try await read { try $0.usage(path, after: cursor, limit: Self.usageStep) }
    var response = WireDiskUsageResponse()
    response.files = step.files
    response.directories = step.directories
    response.bytes = UInt64(step.bytes.rawValue)
    response.storedBytes = UInt64(step.storedBytes.rawValue)
    response.nextPage = step.next?.token ?? Data()
    return response
  }
}

extension UsageCursor {
  /// Names joined by `/`, behind a byte of version.
  fileprivate init(token: Data) throws {
    let bytes = [UInt8](token)
    guard bytes.first == 1 else {
      throw DFSError(
        .invalidArgument, "the page token is not one of this coordinator's; count from the start")
    }
    let parts = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true)
    try check(parts.count, atMost: Limits.deepestWalk, "names in a page token")
    self.init(names: try parts.map { try FileName(bytes: Array($0)) })
  }

  fileprivate var token: Data {
    var bytes = Data([1])
    for name in names { bytes += name.bytes + [UInt8(ascii: "/")] }
    return bytes
  }
}
