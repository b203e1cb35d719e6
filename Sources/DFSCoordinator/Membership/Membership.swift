package import DFSCore
package import DFSMetadata

/// Who is in the cluster and who is alive: the deciding half of registration and heartbeats.
///
/// A value without I/O: every event comes with the time it happened, every answer says what to do. What must
/// outlive the process (`ClusterNode` records) is written by the caller; contact, leases and past boots are
/// of this coordinator's life only, so a restart renews every lease and every timer in full.
///
/// Life of a node: *up* → *down* after `downAfter` without contact → *out* after `outAfter`. A node that was
/// not heard of since the coordinator's start counts as heard of at that start.
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

  /// The coordinator that registers nodes: what it compares their memory with.
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
  /// Raised by whatever changes who is reachable, writable or eligible.
  package private(set) var version: UInt64 = 0

  package init(records: [ClusterNode], limits: Limits = Limits(), startedAt: Instant) {
    self.limits = limits
    self.startedAt = startedAt
    for record in records { members[record.id] = Member(record: record, lastContact: startedAt) }
  }

  package subscript(node: NodeID) -> Member? { members[node] }

  /// All nodes that were not removed, in order of id.
  package var present: [Member] {
    members.values.filter { $0.record.state != .removed }.sorted { $0.id < $1.id }
  }

  /// What the node's record would be: to be made durable before `register` is called. Throws a refusal that
  /// says what is wrong with the node and what to do. `newKey` is for a node that has none yet.
  package mutating func admit(
    _ registration: Registration, authority: Authority, newKey: [UInt8]
  ) throws -> ClusterNode {
    try check(registration, against: authority)
    let known = members[registration.node]?.record
    if known == nil, members.count >= limits.mostNodes {
      throw DFSError(.exhausted, "the cluster has \(limits.mostNodes) nodes; remove some that are gone")
    }
    var state = known?.state ?? .active
    if state == .out { state = .active }
    return ClusterNode(
      id: registration.node, store: registration.store, boot: registration.boot,
      endpoints: [registration.address], zone: registration.zone, capacity: registration.capacity,
      state: state, receiptKey: known?.receiptKey ?? newKey)
  }

  /// Takes the node in, or back, with a record that is durable. Gives its change of life.
  package mutating func register(
    _ registration: Registration, record: ClusterNode, now: Instant
  ) -> [Transition] {
    version += 1
    guard var member = members[record.id] else {
      var member = Member(record: record, lastContact: now)
      member.boot = record.boot
      member.disk = registration.disk
      member.version = registration.version
      members[record.id] = member
      return [Transition(node: record.id, from: .out, to: .up)]
    }
    if member.record.boot != record.boot {
      member.pastBoots.append(member.record.boot)
      member.pastBoots.removeFirst(max(0, member.pastBoots.count - limits.rememberedBoots))
    }
    let life = member.life
    member.record = record
    member.boot = record.boot
    member.disk = registration.disk
    member.version = registration.version
    member.report = nil
    member.life = .up
    member.touch(now)
    members[record.id] = member
    return life == .up ? [] : [Transition(node: record.id, from: life, to: .up)]
  }

  /// Takes a heartbeat. Throws `.stale` to a node that must register first, `.failedPrecondition` to a boot
  /// that another one superseded: that process must stop.
  package mutating func heartbeat(_ report: NodeReport, now: Instant) throws -> [Transition] {
    try refuseSuperseded(boot: report.boot, of: report.node)
    guard var member = members[report.node], member.boot == report.boot, member.life != .out else {
      throw DFSError(.stale, "boot \(report.boot) of node \(report.node) is not registered; register first")
    }
    let (life, wasWritable) = (member.life, member.isWritable)
    member.touch(now)
    member.report = report
    member.isStopping = report.isStopping
    member.life = report.isStopping ? .down : .up
    members[report.node] = member
    if member.life != life || member.isWritable != wasWritable { version += 1 }
    return member.life == life ? [] : [Transition(node: report.node, from: life, to: member.life)]
  }

  /// Declares the silent down and out. Called about once a second; the outcome depends on `now` alone. A node
  /// that is out has `.out` in its record, which the caller makes durable.
  package mutating func tick(now: Instant) -> [Transition] {
    var transitions: [Transition] = []
    for node in members.keys.sorted() {
      guard var member = members[node], member.record.state != .removed else { continue }
      let silent = now - member.lastContact
      var next = member.life
      if member.life == .up, silent >= limits.downAfter { next = .down }
      let mayGo = next == .down && member.record.state != .maintenance
      if mayGo, silent >= limits.outAfter, now - startedAt >= limits.startGrace {
        member.isHeldByBrake = brakeHolds(against: node)
        if !member.isHeldByBrake { next = .out }
      }
      if next != member.life {
        transitions.append(Transition(node: node, from: member.life, to: next))
        member.life = next
        if next == .out {
          member.boot = nil
          if member.record.state == .active { member.record.state = .out }
        }
      }
      members[node] = member
    }
    if !transitions.isEmpty { version += 1 }
    return transitions
  }

  /// True when declaring `node` out would take more than a quarter of the nodes (one may always go where
  /// there are three), or the last node of a configured zone of several: then it is the network or the power,
  /// not the nodes, and a person decides.
  private func brakeHolds(against node: NodeID) -> Bool {
    let counted = members.values.filter { $0.record.state != .removed }
    let gone = counted.count { $0.life == .out || $0.id == node }
    let allowed = counted.count >= 3 ? max(1, counted.count / 4) : 0
    if gone > allowed { return true }
    guard let zone = members[node]?.record.zone, !zone.isEmpty else { return false }
    let neighbours = counted.filter { $0.record.zone == zone }
    return neighbours.count > 1 && neighbours.allSatisfy { $0.life == .out || $0.id == node }
  }
}

extension Membership {
  private mutating func check(_ registration: Registration, against authority: Authority) throws {
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
    guard epoch <= authority.epoch, !isSameHistory || revision <= authority.revision else {
      throw DFSError(
        .failedPrecondition,
        """
        node \(registration.node) has seen epoch \(epoch), revision \(revision); this coordinator is at epoch \
        \(authority.epoch), revision \(authority.revision): its metadata went back in time; stop it and start it \
        on its newest directory, or restore, which raises the incarnation
        """, metadata: ["refusal": "went_backwards"])
    }
  }

  /// A boot that another one superseded and that speaks again shows that two processes run on copies of one
  /// directory. It is remembered, so that its receipts count no longer.
  private mutating func refuseSuperseded(boot: BootID, of node: NodeID) throws {
    guard let member = members[node], member.pastBoots.contains(boot) else { return }
    members[node]?.distrustedBoots.insert(boot)
    throw DFSError(
      .failedPrecondition,
      """
      boot \(boot) of node \(node) was superseded by a later start of the same data directory: two processes \
      run on copies of it; stop this one
      """, metadata: ["refusal": "superseded"])
  }
}
