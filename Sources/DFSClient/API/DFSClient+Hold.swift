import DFSCore
import DFSRPC
import DFSWire

/// What must come before the hold after a restore is released.
public enum HoldRelease: Sendable, Hashable {
  /// A completed check of all chunks.
  case afterCheck
  /// Nothing: whatever was lost is given up unseen.
  case forced
}

extension DFSClient {
  /// Lets a coordinator whose metadata was restored delete again; does nothing when it is not held. Throws
  /// `.failedPrecondition` when no check was completed since the restore, unless it is `.forced`.
  @discardableResult
  public func releaseHold(_ release: HoldRelease = .afterCheck) async throws -> Revision {
    try await operation { [connection] in
      var request = WireReleaseHoldRequest()
      request.force = release == .forced
      let answer = try await connection.read(CoordinatorMethods.releaseHold, request)
      connection.saw(revision: answer.revision)
      return Revision(rawValue: answer.revision)
    }
  }
}
