import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func purgeTrash(_ request: WirePurgeTrashRequest) async throws -> WirePurgeTrashResponse {
    guard request.all != !request.deletions.isEmpty else {
      throw DFSError(.invalidArgument, "a purge names its deletions, or says that all are meant")
    }
    try check(request.deletions.count, atMost: 1000, "deletions")
    let deletions = try request.deletions.map { try DeletionID(argument: $0) }
    var response = WirePurgeTrashResponse()
    response.purged = request.all ? try await purgeAll() : UInt64(try await namespace.purge(deletions))
    response.revision = namespace.revision.rawValue
    return response
  }

  /// What one view shows, so that nothing goes that came after the call.
  private func purgeAll() async throws -> UInt64 {
    let namespace = namespace
    let view = try await disk.run { try namespace.view() }
    var purged: UInt64 = 0
    var previous: DeletionID?
    repeat {
      let after = previous
      let (costs, next) = try await disk.run { try view.trashCosts(after: after, limit: Limits.listEntries) }
      purged += UInt64(try await namespace.purge(costs.map(\.deletion)))
      previous = next
      try Task.checkCancellation()
    } while previous != nil
    return purged
  }
}

extension Namespace {
  /// Mutations that wait for one round at once.
  private static let purgesAtOnce = 256

  /// Purges deletions, many a round; gives the number of those that were there.
  func purge(_ deletions: [DeletionID]) async throws -> Int {
    var purged = 0
    for start in stride(from: 0, to: deletions.count, by: Self.purgesAtOnce) {
      let part = deletions[start..<min(start + Self.purgesAtOnce, deletions.count)]
      purged += try await withThrowingTaskGroup(of: Bool.self) { group in
        for deletion in part {
          group.addTask { try await self.mutate(PurgeTrash(deletion: deletion)).outcome.isPurged }
        }
        return try await group.reduce(into: 0) { count, isPurged in if isPurged { count += 1 } }
      }
    }
    return purged
  }
}
