package import DFSCore

/// Which datanodes keep a copy of the metadata: a value that decides from what is known now.
///
/// Those that have one keep it as long as they may; others are chosen so that copies share no disk and no zone. A
/// copy that is to go is kept until those in its place are complete.
package struct CopyPlan: Sendable {
  /// A node that may keep a copy.
  package struct Candidate: Sendable {
    package var node: NodeID
    package var zone: Zone
    /// Machine and disk; empty when it is not known.
    package var disk: String
    package var free: ByteCount
    /// It has a copy of this history on its disk, or keeps one now.
    package var hasCopy: Bool
    /// Its copy is complete and goes along.
    package var isComplete: Bool
    /// False for one that is silent for the moment, or had no room just now: it keeps its copy and gets none.
    package var isReady: Bool

    package init(
      node: NodeID, zone: Zone, disk: String = "", free: ByteCount = .zero, hasCopy: Bool = false,
      isComplete: Bool = false, isReady: Bool = true
    ) {
      self.node = node
      self.zone = zone
      self.disk = disk
      self.free = free
      self.hasCopy = hasCopy
      self.isComplete = isComplete
      self.isReady = isReady
    }
  }

  package let wanted: Int
  package init(wanted: Int) { self.wanted = wanted }

  /// The nodes to keep copies on, given those that do now: `wanted` of them as far as there are so many, and more
  /// while copies move.
  package func choose(from candidates: [Candidate], keeping holders: [NodeID]) -> [NodeID] {
    guard wanted > 0 else { return [] }
    let byNode = Dictionary(candidates.map { ($0.node, $0) }, uniquingKeysWith: { first, _ in first })
    var chosen = holders.compactMap { byNode[$0] }
    let leaving = chosen.dropFirst(wanted)
    chosen.removeLast(leaving.count)
    while chosen.count < wanted, let next = best(of: candidates, beside: chosen) { chosen.append(next) }
    if chosen.count == wanted, let (index, better) = improvement(of: chosen, among: candidates) {
      chosen[index] = better
    }
    let nodes = chosen.map(\.node)
    let isSettled = chosen.count(where: \.isComplete) >= min(wanted, chosen.count) && !chosen.isEmpty
    let moving = holders.filter { byNode[$0]?.isComplete == true && !nodes.contains($0) }
    return isSettled ? nodes : nodes + moving.prefix(wanted)
  }

  private func best(of candidates: [Candidate], beside chosen: [Candidate]) -> Candidate? {
    candidates.filter { candidate in
      candidate.isReady && !chosen.contains { $0.node == candidate.node }
    }.max { rank($0, beside: chosen) < rank($1, beside: chosen) }
  }

  /// A disk of its own before a zone of its own, then one that need not be sent everything, then room.
  private func rank(_ candidate: Candidate, beside chosen: [Candidate]) -> Rank {
    Rank(
      spread: spread(of: chosen + [candidate]), hasCopy: candidate.hasCopy ? 1 : 0, free: candidate.free,
      node: candidate.node)
  }

  private struct Rank: Comparable {
    var spread: Spread
    var hasCopy: Int
    var free: ByteCount
    var node: NodeID

    static func < (left: Self, right: Self) -> Bool {
      if left.spread != right.spread { return left.spread < right.spread }
      return (left.hasCopy, left.free, right.node) < (right.hasCopy, right.free, left.node)
    }
  }

  private struct Spread: Comparable {
    var disks: Int
    var zones: Int
    static func < (left: Self, right: Self) -> Bool { (left.disks, left.zones) < (right.disks, right.zones) }
  }

  private func spread(of nodes: [Candidate]) -> Spread {
    let disks = Set(nodes.map { $0.disk.isEmpty ? "node \($0.node)" : "disk \($0.disk)" })
    return Spread(disks: disks.count, zones: Set(nodes.map(\.zone)).count)
  }

  /// A place of `chosen` and the node that should have it instead, so that the copies share less.
  private func improvement(
    of chosen: [Candidate], among candidates: [Candidate]
  ) -> (index: Int, better: Candidate)? {
    let present = spread(of: chosen)
    for index in chosen.indices.reversed() {
      var others = chosen
      others.remove(at: index)
      guard let better = best(of: candidates.filter { $0.node != chosen[index].node }, beside: others) else {
        continue
      }
      if spread(of: others + [better]) > present { return (index, better) }
    }
    return nil
  }
}
