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
  /// Nodes that an operator or the membership set apart, in contact or not.
  var draining: [NodeID] = []
  var maintenance: [NodeID] = []
  var suspects: [NodeID] = []
  /// Draining nodes that nothing depends on any more.
  var emptied: [NodeID] = []
  /// Nodes without contact whose slots are given away, and those that the storm brake keeps from it.
  var gone: [NodeID] = []
  var braked: [NodeID] = []
  /// Nodes in contact that take no writes by themselves, and why.
  var refusing: [(node: NodeID, reason: String)] = []
  /// Nodes in contact whose disk is full.
  var full = 0
  /// A node in contact has told of its disk.
  var hasReports = false
  /// Replicas that the nodes have moved aside because they were bad.
  var quarantined: UInt64 = 0
  /// Nodes that were not removed.
  var count = 0
  /// The oldest completed scrub of a node in contact; `nil` while one of them has completed none.
  var oldestScrub: Duration?
  /// Chunks verified in the present passes, and chunks there are, on nodes in contact.
  var scrubbed: NodeReport.Scrub?

  fileprivate init(_ state: Cluster.State, groups: GroupSummary) {
    let members = state.membership.present
    count = members.count
    for member in members {
      switch member.life {
      case .up: up += 1
      case .down: down += 1
      case .out: out += 1
      }
      if member.isReachable, member.report != nil { hasReports = true }
      quarantined += member.report?.quarantined ?? 0
      if member.isGone { gone.append(member.id) }
      if member.isHeldByBrake { braked.append(member.id) }
      if member.record.isSuspect { suspects.append(member.id) }
      switch member.record.state {
      case .draining:
        draining.append(member.id)
        if state.canDoWithout(member.id) { emptied.append(member.id) }
      case .maintenance: maintenance.append(member.id)
      case .active where member.isReachable && member.report?.isWritable == false:
        refusing.append((member.id, member.report?.reason ?? ""))
        if member.report?.isFull == true { full += 1 }
      case .active, .out, .removed: break
      }
    }
    let scrubs = members.filter(\.isReachable).map { $0.report?.scrub }
    let ages = scrubs.compactMap { $0?.sinceLastPass }
    if ages.count == scrubs.count { oldestScrub = ages.max() }
    for scrub in scrubs.compactMap({ $0 }) {
      var sum = scrubbed ?? NodeReport.Scrub(sinceLastPass: nil, done: 0, total: 0)
      sum.done &+= min(scrub.done, scrub.total)
      sum.total &+= scrub.total
      scrubbed = sum
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
}

extension Cluster {
  func health() -> ClusterHealth {
    let groups = groupSummary()
    return withState { ClusterHealth($0, groups: groups) }
  }
}
