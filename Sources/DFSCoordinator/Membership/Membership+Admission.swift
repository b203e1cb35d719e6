import DFSCore
import DFSMetadata

// Who is let in.

extension Membership {
  mutating func check(_ registration: Registration, against authority: Authority) throws {
    let node = registration.node
    if let cluster = registration.cluster, cluster != authority.cluster {
      throw DFSError(
        .failedPrecondition,
        """
        the data directory of node \(node) belongs to cluster \(cluster), this is cluster \(authority.cluster); \
        point the node at its own coordinator, or give it an empty directory
        """, metadata: ["refusal": "foreign_cluster"])
    }
    try checkMemory(registration, against: authority)
    if let member = members[node] {
      guard member.record.state != .removed else {
        throw DFSError(
          .failedPrecondition, "node \(node) was removed; start it with an empty data directory",
          metadata: ["refusal": "removed"])
      }
      guard member.record.store == registration.store else {
        throw DFSError(
          .failedPrecondition,
          """
          node \(node) is known with store \(member.record.store), its directory now has store \
          \(registration.store): the disk was wiped or exchanged; start it with an empty directory, as a new node
          """, metadata: ["refusal": "other_store"])
      }
      try refuseSuperseded(boot: registration.boot, of: node)
    } else if let owner = members.values.first(where: { $0.record.store == registration.store }) {
      throw DFSError(
        .failedPrecondition,
        "store \(registration.store) is that of node \(owner.id): its directory was copied; delete the copy",
        metadata: ["refusal": "cloned_store"])
    }
  }

  /// A coordinator whose metadata went back in time must not give orders to nodes that remember better.
  private func checkMemory(_ registration: Registration, against authority: Authority) throws {
    let (epoch, revision) = (registration.highestEpoch, registration.highestRevision)
    let isSameHistory = epoch.incarnation == authority.epoch.incarnation
    // What a node has heard before it met this process is at most what the process began with: a revision that
    // was reached only since is another change of the same number.
    let own = joined.contains(registration.node) ? authority.revision : authority.startRevision
    guard epoch <= authority.epoch, !isSameHistory || revision <= own else {
      throw DFSError(
        .failedPrecondition,
        """
        node \(registration.node) has seen epoch \(epoch), revision \(revision); this coordinator is at epoch \
        \(authority.epoch), revision \(own): its metadata went back in time; stop it and start it \
        on its newest directory, or restore, which raises the incarnation
        """, metadata: ["refusal": "went_backwards"])
    }
  }

  /// A boot that another one superseded and that speaks again shows that two processes run on copies of one
  /// directory. It is remembered, so that its receipts count no longer.
  mutating func refuseSuperseded(boot: BootID, of node: NodeID) throws {
    guard let member = members[node], member.pastBoots.contains(boot) else { return }
    distrust(boot, of: node)
    throw DFSError(
      .failedPrecondition,
      """
      boot \(boot) of node \(node) was superseded by a later start of the same data directory: two processes \
      run on copies of it; stop this one
      """, metadata: ["refusal": "superseded"])
  }
}
