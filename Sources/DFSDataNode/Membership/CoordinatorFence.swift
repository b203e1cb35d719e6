import DFSCore

/// Which coordinator this node obeys: one of its own cluster whose (epoch, revision) never went backwards.
///
/// A coordinator restored from an old copy without a raised incarnation would reap living chunks; the node
/// that saw more refuses it. What `check` says is higher must be durable before anything else is done.
struct CoordinatorFence: Equatable {
  /// What the node remembers of its coordinators.
  struct Seen: Equatable, Sendable {
    /// Nothing on a fresh store.
    var cluster: ClusterID?
    var epoch: Epoch
    var revision: Revision
  }

  private(set) var seen: Seen

  init(_ seen: Seen) { self.seen = seen }

  /// What must be made durable before the sender of (`epoch`, `revision`) is obeyed: nothing when both are
  /// known, or only the revision rose within an epoch. Throws `.stale` for a coordinator that went backwards.
  func admit(epoch: Epoch, revision: Revision?) throws -> Seen? {
    guard epoch >= seen.epoch else {
      throw DFSError(
        .stale,
        "the coordinator is at epoch \(epoch), but this node has obeyed \(seen.epoch): it was replaced",
        metadata: ["epoch": seen.epoch.description])
    }
    // A restore raises the incarnation on purpose and starts from an older revision.
    if let revision, epoch.incarnation == seen.epoch.incarnation, revision < seen.revision {
      throw DFSError(
        .stale,
        """
        the coordinator is at revision \(revision), but this node has seen \(seen.revision): its metadata went \
        backwards. Restore it with a raised incarnation, or start the newer one
        """,
        metadata: ["revision": seen.revision.description])
    }
    guard epoch > seen.epoch else { return nil }
    let base = epoch.incarnation == seen.epoch.incarnation ? seen.revision : .zero
    return Seen(cluster: seen.cluster, epoch: epoch, revision: max(base, revision ?? .zero))
  }

  /// As `admit`, for an answer to a registration, which also names the cluster. Throws
  /// `.failedPrecondition` for a foreign one.
  func admit(cluster: ClusterID, epoch: Epoch, revision: Revision) throws -> Seen? {
    if let own = seen.cluster, own != cluster {
      throw DFSError(
        .failedPrecondition, "the coordinator leads cluster \(cluster), this store belongs to \(own)",
        metadata: ["cluster": own.description])
    }
    let news = try admit(epoch: epoch, revision: revision)
    guard seen.cluster == nil else { return news }
    return Seen(cluster: cluster, epoch: epoch, revision: revision)
  }

  /// Takes what is durable now.
  mutating func adopt(_ durable: Seen) { seen = durable }

  /// Remembers a higher revision within the epoch; it is made durable now and then, not each time.
  mutating func observe(_ revision: Revision) { seen.revision = max(seen.revision, revision) }
}
