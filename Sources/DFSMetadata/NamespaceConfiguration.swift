package import DFSCore
import Glibc

/// What an operator or a test may set. Defaults are the product's.
package struct NamespaceConfiguration: Sendable {
  /// Largest file that lives in its inode: 4 KiB here, 512 B on etcd.
  package var inlineLimit: ByteCount = .kib(4)
  package var uploadLease: Duration = .seconds(120)
  package var pinDuration: Duration = .seconds(60)
  /// How long a condemned version stays: longer than a lookup is valid and than a standby may lag.
  package var reapGrace: Duration = .seconds(120)
  /// How long what was removed or replaced can be had back; zero for not at all.
  package var trashRetention: Duration = .seconds(24 * 3600)
  /// Deletions that the trash keeps; when there are more, the oldest leave early.
  package var trashEntries: UInt64 = 10_000_000
  /// How long the results of mutations are kept at least; in whole hours.
  package var outcomeRetention: Duration = .seconds(2 * 3600)
  package var listSnapshotLifetime: Duration = .seconds(300)
  package var listSnapshots = 64
  /// Mutations that may wait for a round.
  package var waitingMutations = 4096
  package var openUploads = 100_000
  /// Memory for settled rounds that copies of the metadata may still want.
  package var roundFeed: ByteCount = .mib(16)
  package var pins = 100_000
  package var defaultPolicy = PlacementPolicy.standard
  /// Monotonic time since an arbitrary start.
  package var elapsed: @Sendable () -> Duration = monotonicTime
  /// Wall-clock time for files' times and a new cluster's clock.
  package var wallTime: @Sendable () -> FileTime = systemTime
  /// Makes the new cluster's id.
  package var randomNumber: @Sendable () -> UInt64 = { UInt64.random(in: 1...UInt64.max) }

  package init() {}
}

private let start = ContinuousClock.now
private let monotonicTime: @Sendable () -> Duration = { ContinuousClock.now - start }
private let systemTime: @Sendable () -> FileTime = {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return FileTime(rawValue: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}
