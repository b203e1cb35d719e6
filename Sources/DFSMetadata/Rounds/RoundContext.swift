import DFSCore

/// What a round may know beside the store: the time, the rules, and which leases have ended.
struct RoundContext: Sendable {
  var now: ClusterTime
  var wallTime: FileTime
  var configuration: NamespaceConfiguration
  var incarnation: UInt16
  var limits: LedgerLimits
  var isLeaseOver: @Sendable (UploadID) -> Bool
  /// After a restore, until it is released: `Transaction.requireReleased`.
  var isHeld = false
}

/// What the leader's own memory must learn once a round is settled.
enum RoundNotice: Sendable, Hashable {
  case leaseStarted(UploadID)
  case leaseEnded(UploadID)
  case holdReleased
}
