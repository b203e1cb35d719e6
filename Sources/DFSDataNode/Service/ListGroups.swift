import DFSCore
import DFSWire

/// The groups of which this node has chunks, whether it is a member of them or not.
extension DataNodeService {
  func listGroups(_ request: WireListGroupsRequest) async throws -> WireListGroupsResponse {
    try checkAddressee(request.node)
    let groups = try await disk.run { [store] in try store.groups() }
    let rest = request.hasAfter ? groups.filter { $0.rawValue > request.after } : groups
    return .with {
      $0.groups = rest.prefix(Self.mostGroups).map(\.rawValue)
      $0.more = rest.count > Self.mostGroups
    }
  }

  private static let mostGroups = 10_000
}
