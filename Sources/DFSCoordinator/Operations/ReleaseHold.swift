import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  /// A person says that what a restore has lost is known and accepted. Releasing what is not held does
  /// nothing.
  func releaseHold(_ request: WireReleaseHoldRequest) async throws -> WireReleaseHoldResponse {
    // A restore needs a start, so a check of this coordinator's life came after it.
    let isChecked = cluster.withState { $0.checks.last?.skippedGroups == 0 }
    guard !namespace.isHeld || isChecked || request.force else {
      throw DFSError(
        .failedPrecondition,
        "no check of all chunks was completed since the metadata was restored: run `dfsd admin fsck`, look at what "
          + "it finds, then release; or force it")
    }
    let settled = try await namespace.mutate(ReleaseHold())
    if settled.outcome.wasHeld {
      logger.notice("the hold after the restore was released", metadata: ["forced": "\(request.force)"])
    }
    var response = WireReleaseHoldResponse()
    response.revision = settled.revision.rawValue
    return response
  }
}
