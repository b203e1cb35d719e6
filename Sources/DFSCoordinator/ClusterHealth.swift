import DFSCore
import DFSMetadata

/// The space of the cluster's disks. Nodes that share a disk count it once.
struct ClusterSpace: Sendable, Hashable {
  var capacity = ByteCount.zero
  var free = ByteCount.zero
  var stored = ByteCount.zero
  /// All of several nodes keep their chunks on one disk.
  var isSingleDisk = false
  /// Free bytes of each writable node, its share where nodes share a disk.
  private var shares: [ByteCount] = []

  init(_ members: [Member]) {
    let byDisk = Dictionary(grouping: members) { $0.disk.isEmpty ? "node \($0.id)" : "disk \($0.disk)" }
    isSingleDisk = members.count > 1 && byDisk.count == 1
    for sharers in byDisk.values {
      capacity = capacity.addingSaturated(sharers.map(\.record.capacity).max() ?? .zero)
      for sharer in sharers { stored = stored.addingSaturated(sharer.report?.stored ?? .zero) }
      let free = sharers.compactMap { $0.report?.free }.max() ?? .zero
      self.free = self.free.addingSaturated(free)
      let writable = sharers.filter(\.isWritable)
      shares += writable.map { _ in ByteCount(rawValue: free.rawValue / Int64(writable.count)) }
    }
  }

  /// The most bytes of new files that fit, each on `replicas` different nodes: no node can hold more than one
  /// copy of a byte, so a large disk counts only as far as the others can keep up.
  func usable(replicas: Int) -> ByteCount {
    guard replicas > 0, shares.count >= replicas else { return .zero }
    let sorted = shares.sorted(by: >)
    var best: Int64 = .max
    // With the k largest disks full of one copy each, the others must hold the remaining copies.
    for large in 0..<replicas {
      let others = sorted.dropFirst(large).reduce(ByteCount.zero) { $0.addingSaturated($1) }
      best = min(best, others.rawValue / Int64(replicas - large))
    }
    return ByteCount(rawValue: best)
  }
}

/// The state of the nodes and groups at one moment.
struct ClusterHealth: Sendable {
  var up = 0
  var down = 0
  var out = 0
  var space: ClusterSpace
  var groups: GroupSummary
  var chunksAtRisk: UInt64
  /// Chunks by the number of full members in contact that have them: none; one, or two, where more are wanted.
  var chunksUnreadable: UInt64 = 0
  var chunksOnOneCopy: UInt64 = 0
  var chunksOnTwoCopies: UInt64 = 0
  var badReplicas: UInt64
  private var braked = 0
  private var notWritable: [(node: NodeID, reason: String)] = []
  private var count = 0

  fileprivate init(_ state: Cluster.State, groups: GroupSummary) {
    let members = state.membership.present
    count = members.count
    for member in members {
      switch member.life {
      case .up: up += 1
      case .down: down += 1
      case .out: out += 1
      }
      if member.isHeldByBrake { braked += 1 }
      if member.isReachable, !member.isWritable, notWritable.count < 10 {
        notWritable.append((member.id, member.report?.reason ?? "\(member.record.state)"))
      }
    }
    space = ClusterSpace(members.filter { $0.life != .out })
    self.groups = groups
    chunksAtRisk = groups.short.reduce(0) { $0 + (state.chunkCounts[$1.id] ?? 0) }
    badReplicas = state.badReplicas
    for group in groups.short {
      let chunks = state.chunkCounts[group.id] ?? 0
      switch group.copies {
      case 0: chunksUnreadable += chunks
      case 1: chunksOnOneCopy += chunks
      case 2: chunksOnTwoCopies += chunks
      default: break
      }
    }
  }

  /// Sentences for a person, most urgent first.
  func warnings(policy: PlacementPolicy) -> [String] {
    var warnings: [String] = []
    func add(_ condition: Bool, _ text: @autoclosure () -> String) {
      if condition { warnings.append(text()) }
    }
    add(
      groups.unreadable > 0,
      "\(groups.unreadable) of \(groups.groups) groups have no reachable full copy: reads of their chunks fail"
    )
    add(
      groups.unwritable > 0, "\(groups.unwritable) of \(groups.groups) groups have too few nodes for a write")
    add(
      braked > 0,
      "\(braked) silent nodes are not given up, for too many would go at once: look at the network and the power"
    )
    add(badReplicas > 0, "\(badReplicas) bad replicas were found since the coordinator started")
    add(down > 0, "\(down) of \(count) nodes are down")
    add(out > 0, "\(out) of \(count) nodes are out")
    add(
      groups.vacantSlots > 0,
      "\(groups.vacantSlots) slots have no node: start more datanodes, in other zones where zones are named")
    for (node, reason) in notWritable {
      warnings.append("node \(node) takes no writes" + (reason.isEmpty ? "" : ": \(reason)"))
    }
    add(
      count < policy.writeQuorum,
      "\(count) datanodes: \(policy.replicas) replicas need at least \(policy.writeQuorum)")
    add(space.isSingleDisk, "all nodes keep their copies on one disk: they do not survive its loss")
    return warnings
  }
}

extension Cluster {
  func health() -> ClusterHealth {
    let groups = groupSummary()
    return withState { ClusterHealth($0, groups: groups) }
  }
}
