import DFSCore
import DFSMetadata

/// What a person is told beside the numbers of the status: what only a person can do, with the command for it,
/// and what is worth knowing while the cluster heals itself.
struct StatusAdvice: Sendable {
  var policy: PlacementPolicy
  var health: ClusterHealth
  var isHeld = false
  /// Living chunks that no member has.
  var lostChunks: UInt64 = 0
  var pausedJobs: [String] = []
  /// Datanodes that were refused lately, and why.
  var refused: [(address: String, reason: String)] = []
  /// Deletions that left the trash before their time, for lack of space or because of their number.
  var purgedForSpace: UInt64 = 0
  var purgedForNumber: UInt64 = 0
  /// Groups of which a fuller node gives its place to an emptier one.
  var moving: UInt64 = 0

  /// Nodes that are named one by one.
  private static let mostNamed = 5
  /// A cluster with less of its space free needs a person soon.
  private static let scarce = 20

  mutating func take(_ state: Cluster.State, now: ContinuousClock.Instant) {
    lostChunks = state.losses.chunks
    refused = state.refused.recent(now: now)
    purgedForSpace = state.earlyPurges.recent(.space, now: now)
    purgedForNumber = state.earlyPurges.recent(.entries, now: now)
    moving = UInt64(state.predecessors.count)
  }

  /// What only a person can do, most urgent first.
  var actions: [String] {
    lossActions + refusalActions + nodeActions + spaceActions
      + pausedJobs.map { "job \($0) is paused: \"dfsd admin jobs resume \($0)\" lets it go on" }
  }

  private var lossActions: [String] {
    var actions: [String] = []
    if lostChunks > 0 {
      actions.append(
        """
        \(count(lostChunks, "chunk has", "chunks have")) no copy on any node in contact: bring nodes that are out back with \
        their disks, or store the files again; "dfsd admin fsck --wait" names the chunks
        """)
    }
    if isHeld {
      actions.append(
        """
        the metadata was restored, and nothing is deleted until you release it: run "dfsd admin fsck --wait", look at what \
        is missing, then "dfsd admin release"
        """)
    }
    return actions
  }

  private var refusalActions: [String] {
    var actions = refused.prefix(Self.mostNamed).map {
      "the datanode at \($0.address) is refused: \($0.reason)"
    }
    if refused.count > Self.mostNamed {
      let rest = refused.count - Self.mostNamed
      actions.append("\(rest) more datanodes are refused: see the coordinator's log")
    }
    return actions
  }

  private var nodeActions: [String] {
    var actions: [String] = []
    if !health.braked.isEmpty {
      actions.append(
        """
        \(nodes(health.braked)) \(health.braked.count == 1 ? "is" : "are") silent and not given up, for too many would go \
        at once: look at the network and the power; what is gone for good goes by "dfsd admin remove --force NODE"
        """)
    }
    let lacking = policy.writeQuorum - health.count
    if lacking > 0 {
      actions.append(
        """
        \(policy.replicas) copies need at least \(policy.writeQuorum) datanodes, there \(health.count == 1 ? "is" : "are") \
        \(health.count): start \(lacking) more with "dfsd datanode"
        """)
    } else if health.groups.vacantSlots > 0 {
      actions.append(
        """
        \(count(UInt64(health.groups.vacantSlots), "place for copies has", "places for copies have")) no node: start more \
        datanodes, in other zones where zones are named
        """)
    }
    for node in health.suspects.prefix(Self.mostNamed) {
      actions.append(
        """
        many copies on node \(node) went bad, so it gets no new ones: look at its disk, then "dfsd admin activate \(node)" \
        or "dfsd admin drain \(node)"
        """)
    }
    for node in health.emptied.prefix(Self.mostNamed) {
      actions.append("node \(node) is drained: stop it, then \"dfsd admin remove \(node)\"")
    }
    for node in health.gone.prefix(Self.mostNamed) where !health.emptied.contains(node) {
      actions.append(
        "node \(node) is out: start it again, or \"dfsd admin remove \(node)\" when it is gone for good")
    }
    if health.gone.count > Self.mostNamed {
      actions.append("\(health.gone.count - Self.mostNamed) more nodes are out: see \"dfsd admin nodes\"")
    }
    return actions
  }

  private var spaceActions: [String] {
    let (capacity, free) = (health.space.capacity.rawValue, health.space.free.rawValue)
    let usable = health.space.usable(replicas: Int(policy.replicas))
    if health.full > 0, usable == .zero {
      return ["the datanodes are full: add some, or remove files and \"dfsd trash --empty\""]
    }
    // Nothing is known of the space of nodes that have not reported yet.
    guard health.hasReports, capacity > 0 else { return [] }
    if purgedForSpace > 0, free < capacity / Int64(TrashPressure.wantedShare) {
      return [
        """
        only \(health.space.free) of \(health.space.capacity) are free, so \(early(purgedForSpace)): add datanodes, \
        or remove files by "dfsd rm --now"
        """
      ]
    }
    guard free < capacity / Int64(Self.scarce) else { return [] }
    return ["only \(health.space.free) of \(health.space.capacity) are free: add datanodes, or remove files"]
  }

  /// What is worth knowing, most urgent first.
  var warnings: [String] {
    var warnings: [String] = []
    func add(_ condition: Bool, _ text: @autoclosure () -> String) {
      if condition { warnings.append(text()) }
    }
    let groups = health.groups
    add(
      groups.unreadable > 0,
      "\(groups.unreadable) of \(groups.groups) groups have no full member in contact: reads of their chunks fail")
    add(
      groups.unwritable > 0, "\(groups.unwritable) of \(groups.groups) groups have too few nodes for a write")
    add(
      health.down > 0,
      "\(health.down) of \(health.count) nodes \(health.down == 1 ? "is" : "are") down: avoided, not yet replaced")
    add(
      !health.maintenance.isEmpty,
      "\(nodes(health.maintenance)) in maintenance: nothing is repaired for it until \"dfsd admin activate NODE\"")
    for (node, reason) in health.refusing.prefix(Self.mostNamed) {
      warnings.append("node \(node) takes no writes" + (reason.isEmpty ? "" : ": \(reason)"))
    }
    add(
      health.badReplicas > 0,
      "\(count(health.badReplicas, "bad copy was", "bad copies were")) found since the coordinator started")
    add(
      health.quarantined > 0,
      """
      \(count(health.quarantined, "bad copy is", "bad copies are")) kept aside on the datanodes until their chunks \
      are deleted: "dfsd admin nodes -l" shows where
      """)
    add(purgedForSpace > 0, "\(early(purgedForSpace)), for lack of space")
    add(
      purgedForNumber > 0,
      "\(early(purgedForNumber)), for there were more than coordinator.trash_entries")
    add(
      moving > 0,
      """
      \(count(moving, "group is", "groups are")) being moved from fuller datanodes to emptier ones: see \
      "dfsd admin jobs"
      """)
    add(health.space.isSingleDisk, "all nodes keep their copies on one disk: they do not survive its loss")
    return warnings
  }

  private func early(_ deletions: UInt64) -> String {
    "\(count(deletions, "deletion", "deletions")) left the trash before \(deletions == 1 ? "its" : "their") time"
  }

  private func count(_ number: UInt64, _ one: String, _ many: String) -> String {
    "\(number) \(number == 1 ? one : many)"
  }

  /// `node A`, `nodes A, B and 3 more`
  private func nodes(_ nodes: [NodeID]) -> String {
    let named = nodes.prefix(Self.mostNamed).map(\.description).joined(separator: ", ")
    let rest = nodes.count - Self.mostNamed
    return (nodes.count == 1 ? "node " : "nodes ") + named + (rest > 0 ? " and \(rest) more" : "")
  }
}
