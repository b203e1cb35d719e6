import DFSCore
import Synchronization

/// What a leader knows beside the store: nothing of it is durable.
final class NamespaceMemory: Sendable {
  struct Contents: Sendable {
    var leases: DeadlineTable
    var pins: DeadlineTable
    var snapshots: SnapshotTable
    /// Of the last settled round.
    var state: StateRecord
    /// `ClusterRecord.isHeld`, after the last settled round.
    var isHeld = false
    /// Nothing condemned to go before this time is left, so a scan need not pass over what was reaped.
    var reapFloor = ClusterTime.zero
    /// The same for what expires in the trash.
    var trashFloor = ClusterTime.zero
  }

  private let contents: Mutex<Contents>

  init(_ contents: Contents) { self.contents = Mutex(contents) }

  func with<Result: Sendable>(_ body: (inout Contents) throws -> Result) rethrows -> Result {
    try contents.withLock { contents in try body(&contents) }
  }

  func isLeaseOver(_ upload: UploadID, now: ClusterTime) -> Bool {
    with { $0.leases.isOver(upload, now: now) }
  }

  /// Learns what a round changed.
  func settled(_ state: StateRecord, _ notices: [RoundNotice], now: ClusterTime) {
    with { contents in
      contents.state = state
      for notice in notices {
        switch notice {
        case .leaseStarted(let upload): contents.leases.renew(upload, now: now)
        case .leaseEnded(let upload): contents.leases.remove(upload)
        case .holdReleased: contents.isHeld = false
        }
      }
    }
  }
}
