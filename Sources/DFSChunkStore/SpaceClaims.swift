import DFSCore
import Synchronization

/// Promises space to writers before their first byte, so that a store never runs into its reserve half way.
final class SpaceClaims: Sendable {
  private let claimed = Mutex(ByteCount.zero)

  var total: ByteCount { claimed.withLock { $0 } }

  /// Claims `bytes` if they are available. Throws `.exhausted`.
  func claim(_ bytes: ByteCount, free: ByteCount, reserve: ByteCount) throws {
    try claimed.withLock { claimed in
      guard free - reserve - claimed >= bytes else {
        throw DFSError(
          .exhausted,
          "the disk is full: of \(free) free, \(reserve) are kept in reserve, \(claimed) promised to others"
        )
      }
      claimed = claimed + bytes
    }
  }

  func release(_ bytes: ByteCount) { claimed.withLock { $0 = $0 - bytes } }
}
