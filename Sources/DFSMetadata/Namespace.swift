package import DFSCore
package import DFSKeyValue
package import Logging

/// The namespace and the membership of one cluster: the front of this module.
///
/// Mutations wait for their round: executed one after another, made durable together, then answered. Reads go
/// through a `NamespaceView`, a snapshot of the local store, and never wait for a round. Leases, pins and listings' snapshots
/// are this leader's own memory: taking leadership restarts them in full.
///
/// When the outcome of a round is unknown, or another leader has taken over, the namespace refuses every further mutation
/// and `waitUntilEnded()` returns: the process must end, and a start finds out what is durable.
package final class Namespace: Sendable {
  package let configuration: NamespaceConfiguration
  package let cluster: ClusterID
  /// Of this leadership: the term was raised in the first transaction of `open`.
  package let epoch: Epoch

  init(configuration: NamespaceConfiguration, cluster: ClusterID, epoch: Epoch) {
    self.configuration = configuration
    self.cluster = cluster
    self.epoch = epoch
  }

  /// Opens the namespace in `store`, or makes a new one there when the ledger has none, and takes leadership: raises the term and
  /// restarts all leases. Blocks. Throws `.failedPrecondition` for a format newer than this program's, `.corrupt` for a damaged store.
  package static func open(
    store: any OrderedStore, ledger: any Ledger, configuration: NamespaceConfiguration = NamespaceConfiguration(),
    logger: Logger
  ) throws -> Namespace {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// Executes `mutation` in the next round, exactly once for each request id, and returns when it is durable.
  ///
  /// Besides what the operation itself throws: `.outcomeUnknown` for an id below the recorded floor, never executed
  /// (metadata `floor`, `revision`), or when the round's durability is unknown; `.invalidArgument` for an id that was used with
  /// other arguments; `.stale` for an id that saw a revision this namespace never had; `.unavailable` when too many wait or the namespace has ended.
  /// Cancellation does not withdraw it: rounds are short.
  package func mutate<M: Mutation>(_ mutation: M, id: RequestID? = nil) async throws -> Settled<M.Outcome> {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// The present state, for reading on a thread that may block. Keep it for one answer, not longer.
  package func view() throws -> NamespaceView {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// One page of a listing, at one revision while its snapshot lives (five minutes, and a bounded number of them). Blocks.
  package func list(_ request: ListRequest) throws -> ListPage {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// Restarts the lease of an open upload in full and answers how long it is. Blocks. Not durable: a new leader restarts
  /// every lease anyway. Throws `.notFound` when the upload is gone.
  package func renewUpload(_ upload: UploadID) throws -> Duration {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// Keeps the version `inode` from being reaped for `configuration.pinDuration`; again renews. Throws `.exhausted` when too many
  /// are pinned.
  package func pin(_ inode: InodeID) throws {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// Open uploads whose lease has ended, at most `limit`: abort each with `AbortUpload(…, cause: .expired)`.
  package func expiredUploads(limit: Int) -> [UploadID] { [] }

  /// The next condemned thing whose time has come and that nobody has pinned, after `previous` when given; `nil` when there is none. Blocks.
  package func nextCondemned(after previous: ReapPage? = nil) throws -> ReapPage? {
    throw DFSError(.unimplemented, "the namespace is not there yet")
  }

  /// How much there is, for `status`: kept up by the rounds, never counted by a scan.
  package var counts: NamespaceCounts { NamespaceCounts() }
  /// The latest revision that reads see.
  package var revision: Revision { .zero }
  /// The cluster's time now.
  package var time: ClusterTime { .zero }

  /// Returns the reason when the namespace can not go on and the process must end; `nil` after `close()`.
  package func waitUntilEnded() async -> DFSError? { nil }

  /// Settles what waits, then refuses further mutations. Does not close the store.
  package func close() async {}
}
