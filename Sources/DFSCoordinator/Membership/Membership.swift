package import DFSCore
package import DFSMetadata

/// Who is in the cluster and who is alive: the deciding half of registration and heartbeats.
///
/// A value without I/O: every event comes with the time it happened, every answer says what to do. What must
/// outlive the process (`ClusterNode` records) is written by the caller; contact, leases and past boots are
/// of this coordinator's life only, so a restart renews every lease and every timer in full.
///
/// Life of a node: *up* → *down* after `downAfter` without contact → *out* after `outAfter`, when its slots are
/// given away. A node that was not heard of since the coordinator's start counts as heard of at that start. With
/// an `outAfter` below `downAfter` a broken heartbeat stream counts as the end of contact: a killed process is
/// out at once.
///
/// What an operator decides comes on top: *draining* (its slots move to others, it serves until they have
/// everything), *maintenance* (silent as long as it likes: nobody repairs for it), *removed* (for good). A node
/// with many bad replicas in a short time is *suspect*: it gets nothing new until a person activates it. One that
/// comes and goes is on probation: it keeps its slots and gets no others until it has stayed for a while.
package struct Membership: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// The times and bounds of membership.
  package struct Limits: Sendable {
    package var downAfter: Duration = .seconds(10)
    package var outAfter: Duration = .seconds(60)
    /// Nobody is declared out in this time after the coordinator's start.
    package var startGrace: Duration = .seconds(60)
    /// How long a node may take to open another heartbeat stream, where a broken one counts.
    package var reconnect: Duration = .milliseconds(500)
    package var steadiness = Steadiness.Rules()
    /// So many replicas of one node found bad within `suspectWindow` make it suspect; none ever where zero.
    package var suspectAfter = 100
    package var suspectWindow: Duration = .seconds(600)
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
    /// When this coordinator's process opened the metadata; `revision` where that is not known.
    package var startRevision: Revision

    package init(cluster: ClusterID, epoch: Epoch, revision: Revision, startRevision: Revision? = nil) {
      self.cluster = cluster
      self.epoch = epoch
      self.revision = revision
      self.startRevision = startRevision ?? revision
    }
  }

  package let limits: Limits
  package let startedAt: Instant
  package internal(set) var members: [NodeID: Member] = [:]
  /// Raised by whatever changes who is reachable, writable or eligible.
  package internal(set) var version: UInt64 = 0
  /// Nodes that registered with this coordinator's process: only they may have heard of its later revisions.
  private(set) var joined: Set<NodeID> = []
  /// Nodes whose record here says more than the durable one.
  package internal(set) var unsaved: Set<NodeID> = []

  package init(records: [ClusterNode], limits: Limits = Limits(), startedAt: Instant) {
    self.limits = limits
    self.startedAt = startedAt
    for record in records { members[record.id] = Member(record: record, lastContact: startedAt) }
  }

  package subscript(node: NodeID) -> Member? { members[node] }

  /// All nodes that were not removed, in order of id.
  package var present: [Member] {
    // Ids are sorted, not members: those are large, and sorting moves them about.
    members.keys.sorted().compactMap { members[$0] }.filter { $0.record.state != .removed }
  }

  /// What the node's record would be: to be made durable before `register` is called. Throws a refusal that
  /// says what is wrong with the node and what to do. `newKey` is for a node that has none yet.
  package mutating func admit(
    _ registration: Registration, authority: Authority, newKey: [UInt8]
  ) throws -> ClusterNode {
    try check(registration, against: authority)
    let known = members[registration.node]?.record
    if known == nil, members.count >= limits.mostNodes {
      throw DFSError(
        .exhausted,
        "the cluster knows \(limits.mostNodes) nodes, the most there may be, those that were removed among them",
        metadata: ["refusal": "too_many_nodes"])
    }
    var state = known?.state ?? .active
    if state == .out { state = .active }
    return ClusterNode(
      id: registration.node, store: registration.store, boot: registration.boot,
      endpoints: [registration.address], zone: registration.zone, capacity: registration.capacity,
      state: state, receiptKey: known?.receiptKey ?? newKey, isSuspect: known?.isSuspect ?? false)
  }

  /// Takes the node in, or back, with a record that is durable. Gives its change of life.
  package mutating func register(
    _ registration: Registration, record: ClusterNode, now: Instant
  ) -> [Transition] {
    version += 1
    joined.insert(record.id)
    guard var member = members[record.id] else {
      var member = Member(record: record, lastContact: now)
      member.boot = record.boot
      member.disk = registration.disk
      member.version = registration.version
      members[record.id] = member
      return [Transition(node: record.id, from: .out, to: .up)]
    }
    if member.record.boot != record.boot {
      if member.boot != nil, member.life == .up { member.steadiness.dropped(at: now, limits.steadiness) }
      member.pastBoots.append(member.record.boot)
      member.pastBoots.removeFirst(max(0, member.pastBoots.count - limits.rememberedBoots))
    }
    let (life, isSuspect) = (member.life, member.record.isSuspect)
    member.record = record
    member.record.isSuspect = isSuspect || record.isSuspect
    member.boot = record.boot
    member.disk = registration.disk
    member.version = registration.version
    member.report = nil
    member.life = .up
    member.steadiness.returned(at: now, limits.steadiness)
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
    if life == .down, member.life == .up { member.steadiness.returned(at: now, limits.steadiness) }
    members[report.node] = member
    if member.life != life || member.isWritable != wasWritable { version += 1 }
    return member.life == life ? [] : [Transition(node: report.node, from: life, to: member.life)]
  }

  /// Declares the silent down and out. Called about once a second; the outcome depends on `now` alone. A node
  /// that is out has `.out` in its record, which the caller makes durable.
  package mutating func tick(now: Instant) -> [Transition] {
    var transitions: [Transition] = []
    // Counted when the first node asks: with thousands of silent ones, a count for each would hold everybody up.
    var brake: StormBrake?
    for node in members.keys.sorted() {
      guard var member = members[node], member.record.state != .removed else { continue }
      let (life, wasHeld) = (member.life, member.isHeldByBrake)
      let isSteadyAgain = member.steadiness.tick(now: now)
      if isSteadyAgain { version += 1 }
      let next = nextLife(of: &member, now: now, &brake)
      guard isSteadyAgain || next != life || member.isHeldByBrake != wasHeld else { continue }
      if next != life {
        transitions.append(Transition(node: node, from: life, to: next))
        if life == .up { member.steadiness.dropped(at: now, limits.steadiness) }
        member.life = next
        if next == .out {
          brake?.wentOut(member)
          member.boot = nil
          if member.record.state == .active {
            member.record.state = .out
            unsaved.insert(node)
          }
        }
      }
      members[node] = member
    }
    if !transitions.isEmpty { version += 1 }
    return transitions
  }

  private func nextLife(of member: inout Member, now: Instant, _ brake: inout StormBrake?) -> Member.Life {
    let silent = now - member.lastContact
    // A process that was killed takes its streams along; one that stops on purpose gets the time it needs.
    let isCutOff =
      limits.outAfter < limits.downAfter && !member.isStopping
      && member.streamEndedAt.map { now - $0 >= max(limits.outAfter, limits.reconnect) } ?? false
    var next = member.life
    if next == .up, silent >= limits.downAfter || isCutOff { next = .down }
    guard next == .down, member.record.state != .maintenance, now - startedAt >= limits.startGrace,
      isCutOff || silent >= max(limits.outAfter, limits.downAfter)
    else { return next }
    let counted = brake ?? StormBrake(members.values)
    brake = counted
    member.isHeldByBrake = counted.holds(against: member)
    return member.isHeldByBrake ? next : .out
  }
}

// Streams of heartbeats.
extension Membership {
  /// A stream was bound to a boot of `node` by its first heartbeat.
  package mutating func streamBegan(of node: NodeID) { members[node]?.streams += 1 }

  /// It ended, whichever way.
  package mutating func streamEnded(of node: NodeID, now: Instant) {
    guard var member = members[node], member.streams > 0 else { return }
    member.streams -= 1
    if member.streams == 0 { member.streamEndedAt = now }
    members[node] = member
  }
}

// What is found out about a node's replicas, and what waits to be made durable.
extension Membership {
  /// Counts replicas of `node` that were found bad. True when they are so many that it is suspect from now on.
  package mutating func foundBad(_ count: Int, of node: NodeID, now: Instant) -> Bool {
    guard limits.suspectAfter > 0, var member = members[node] else { return false }
    member.badReplicas.add(count, now: now, window: limits.suspectWindow)
    let isNews =
      !member.record.isSuspect && member.badReplicas.count >= limits.suspectAfter
    if isNews {
      member.record.isSuspect = true
      unsaved.insert(node)
      version += 1
    }
    members[node] = member
    return isNews
  }

  /// The record of `node` is being made durable as it is here now: say `save` again when that fails.
  package mutating func saving(_ node: NodeID) -> ClusterNode? {
    unsaved.remove(node)
    return members[node]?.record
  }

  package mutating func savingFailed(_ node: NodeID) { unsaved.insert(node) }

  mutating func distrust(_ boot: BootID, of node: NodeID) {
    members[node]?.distrustedBoots.insert(boot)
  }
}
