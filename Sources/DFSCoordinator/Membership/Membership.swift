package import DFSCore

/// Who is in the cluster and who is alive: the deciding half of registration and heartbeats.
///
/// A value without I/O: every event comes with the time it happened, every answer says what to do. What must
/// outlive the process (`NodeRecord`s) is written by the caller; contact, leases and boots are of this
/// coordinator's life only, so a restart renews every lease and every timer in full.
///
/// Life of a node: *up* → *down* after `downAfter` without contact → *out* after `outAfter`. A node that was
/// never heard of since the coordinator's start counts as heard of at that start.
package struct Membership: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// The times and bounds of membership.
  package struct Limits: Sendable {
    package var downAfter: Duration = .seconds(10)
    package var outAfter: Duration = .seconds(60)
    /// Nobody is declared out in this time after the coordinator's start.
    package var startGrace: Duration = .seconds(60)
    /// Wanted time between heartbeats.
    package var heartbeat: Duration = .seconds(2)
    /// What a heartbeat grants; the node takes writes for half of it.
    package var lease: Duration = .seconds(10)
    package var mostNodes = 10_000
    /// Boots of one node that are remembered after they were superseded.
    package var rememberedBoots = 16

    package init() {}
  }

  /// The coordinator as it registers nodes: what it compares their memory with.
  package struct Authority: Sendable {
    package var cluster: ClusterID
    package var epoch: Epoch
    package var revision: Revision

    package init(cluster: ClusterID, epoch: Epoch, revision: Revision) {
      self.cluster = cluster
      self.epoch = epoch
      self.revision = revision
    }
  }

  package let limits: Limits
  package let startedAt: Instant
  package private(set) var members: [NodeID: Member] = [:]

  package init(records: [MemberRecord], limits: Limits = Limits(), startedAt: Instant) {
    self.limits = limits
    self.startedAt = startedAt
    for record in records { members[record.node] = Member(record: record, lastContact: startedAt) }
  }

  /// Every node that was not removed, in order of id.
  package var sorted: [Member] { members.values.sorted { $0.record.node < $1.record.node } }

  /// Takes a node in, or takes it back. Throws a refusal that says what is wrong with the node and what to do;
  /// changes nothing then.
  package mutating func register(
    _ registration: Registration, authority: Authority, now: Instant
  ) throws -> RegistrationOutcome {
    try check(registration, against: authority)
    var outcome = RegistrationOutcome(record: registration.record, isNew: false, recordChanged: true)
    guard var member = members[registration.record.node] else {
      guard members.count < limits.mostNodes else {
        throw DFSError(.exhausted, "the cluster has \(limits.mostNodes) nodes; remove some that are gone")
      }
      var member = Member(record: registration.record, lastContact: now)
      member.boot = registration.boot
      member.record.boots = [registration.boot]
      outcome.record = member.record
      members[registration.record.node] = member
      outcome.isNew = true
      return outcome
    }
    if member.record.boots.last != registration.boot {
      member.record.boots.append(registration.boot)
      member.record.boots.removeFirst(max(0, member.record.boots.count - limits.rememberedBoots))
    }
    var record = registration.record
    record.standing = member.record.standing
    record.boots = member.record.boots
    outcome.recordChanged = record != members[record.node]?.record
    outcome.record = record
    member.record = record
    member.boot = registration.boot
    member.touch(now)
    members[record.node] = member
    return outcome
  }

  /// Takes a heartbeat. Throws `.stale` to a node that must register first, `.failedPrecondition` to a boot
  /// that another one superseded: that process must stop.
  package mutating func heartbeat(_ report: NodeReport, now: Instant) throws -> [Transition] {
    try refuseSuperseded(boot: report.boot, of: report.node)
    guard var member = members[report.node] else {
      throw DFSError(.stale, "node \(report.node) is not registered; register first")
    }
    guard member.boot == report.boot else {
      throw DFSError(.stale, "boot \(report.boot) of node \(report.node) is not registered; register first")
    }
    member.touch(now)
    member.report = report
    member.record.capacity = report.capacity
    var transitions: [Transition] = []
    if report.isStopping {
      member.isStopping = true
      if member.life == .up { transitions.append(Transition(node: report.node, from: .up, to: .down)) }
      member.life = .down
    } else if member.life != .up {
      transitions.append(Transition(node: report.node, from: member.life, to: .up))
      member.life = .up
    }
    members[report.node] = member
    return transitions
  }

  /// Declares the silent down and out. Called about once a second; the outcome depends on `now` alone.
  package mutating func tick(now: Instant) -> [Transition] {
    var transitions: [Transition] = []
    for node in members.keys.sorted() {
      guard var member = members[node], member.record.standing != .removed else { continue }
      let silent = now - member.lastContact
      var next = member.life
      if member.life == .up, silent >= limits.downAfter { next = .down }
      if next == .down, silent >= limits.outAfter, now - startedAt >= limits.startGrace,
        member.record.standing != .maintenance
      {
        member.isHeldByBrake = brakeHolds(against: node)
        if !member.isHeldByBrake { next = .out }
      }
      if next != member.life {
        transitions.append(Transition(node: node, from: member.life, to: next))
        member.life = next
      }
      members[node] = member
    }
    return transitions
  }

  /// True when declaring `node` out would take more than a quarter of the nodes (one may always go where
  /// there are three), or the last of a configured zone of several: then it is the network or the power, not
  /// the nodes, and a person decides.
  private func brakeHolds(against node: NodeID) -> Bool {
    let counted = members.values.filter { $0.record.standing != .removed }
    let gone = counted.count { $0.life == .out || $0.record.node == node }
    let allowed = counted.count >= 3 ? max(1, counted.count / 4) : 0
    if gone > allowed { return true }
    guard let zone = members[node]?.record.zone, !zone.isEmpty else { return false }
    let neighbours = counted.filter { $0.record.zone == zone }
    guard neighbours.count > 1 else { return false }
    return neighbours.allSatisfy { $0.life == .out || $0.record.node == node }
  }
}

extension Membership {
  private mutating func check(_ registration: Registration, against authority: Authority) throws {
    let record = registration.record
    if let cluster = registration.cluster, cluster != authority.cluster {
      throw DFSError(
        .failedPrecondition,
        """
        the data directory of node \(record.node) belongs to cluster \(cluster), this is cluster \
        \(authority.cluster); point the node at its own coordinator or give it an empty directory
        """, metadata: ["reason": "foreign_cluster"])
    }
    try checkMemory(registration, against: authority)
    if let member = members[record.node] {
      guard member.record.standing != .removed else {
        throw DFSError(
          .failedPrecondition, "node \(record.node) was removed; start it with an empty data directory",
          metadata: ["reason": "removed"])
      }
      guard member.record.store == record.store else {
        throw DFSError(
          .failedPrecondition,
          """
          node \(record.node) is known with store \(member.record.store), its directory now has store \
          \(record.store): the disk was wiped or exchanged; start it with an empty directory, as a new node
          """, metadata: ["reason": "other_store"])
      }
      try refuseSuperseded(boot: registration.boot, of: record.node)
    } else if let owner = members.values.first(where: { $0.record.store == record.store }) {
      throw DFSError(
        .failedPrecondition,
        "store \(record.store) is that of node \(owner.record.node): its directory was copied; delete the copy",
        metadata: ["reason": "cloned_store"])
    }
  }

  /// A coordinator whose metadata went back in time must not give orders to nodes that remember better.
  private func checkMemory(_ registration: Registration, against authority: Authority) throws {
    let (epoch, revision) = (registration.highestEpoch, registration.highestRevision)
    let isSameHistory = epoch.incarnation == authority.epoch.incarnation
    guard epoch <= authority.epoch, !isSameHistory || revision <= authority.revision else {
      throw DFSError(
        .failedPrecondition,
        """
        node \(registration.record.node) has seen epoch \(epoch), revision \(revision); this coordinator is at \
        epoch \(authority.epoch), revision \(authority.revision): it runs on metadata that went back in time; \
        stop it and start it on its newest directory, or restore, which raises the incarnation
        """, metadata: ["reason": "went_backwards"])
    }
  }

  /// A boot that another one superseded and that speaks again shows that two processes run on copies of one
  /// directory. It is remembered, so that its receipts count no longer.
  private mutating func refuseSuperseded(boot: BootID, of node: NodeID) throws {
    guard let member = members[node], member.record.boots.dropLast().contains(boot) else { return }
    members[node]?.distrustedBoots.insert(boot)
    throw DFSError(
      .failedPrecondition,
      """
      boot \(boot) of node \(node) was superseded by a later start of the same data directory: two processes \
      run on copies of it; stop this one
      """, metadata: ["reason": "superseded"])
  }
}
