import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func getGroups(_ request: WireGetGroupsRequest) async throws -> WireGetGroupsResponse {
    try check(request.groups.count, atMost: 10_000, "groups")
    let (named, from) = (request.groups.map { GroupID(rawValue: $0) }, request.fromGroup)
    let limit = 1000
    let rows = try await read { view in
      guard named.isEmpty else { return try view.groups(Set(named).sorted()) }
      return try view.groups(after: from == 0 ? nil : GroupID(rawValue: from - 1), limit: limit + 1)
    }
    var response = WireGetGroupsResponse()
    let page = named.isEmpty ? Array(rows.prefix(limit)) : rows
    if named.isEmpty, rows.count > limit { response.nextGroup = rows[limit].id.rawValue }
    let placement = cluster.answer(page)
    response.groups = placement.groups
    response.nodes = placement.nodes
    return response
  }
}
