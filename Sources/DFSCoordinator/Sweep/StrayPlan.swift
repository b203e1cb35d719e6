package import DFSCore
package import DFSMetadata

/// Decides about a page of chunks that a node has of a group which it is no member of.
///
/// A value without I/O, in three steps that the caller takes in order:
///
/// 1. `init` with the page and what the metadata says of it, from a view taken *after* the page; 2.
/// `verified` for each member, with the copies that it has read to the last byte since; 3. `findings`, with
/// the row as it is *now* and what the metadata says then.
///
/// A stray is removed only when all R slots of the group are full and in contact, the row is still at the
/// epoch at which they were asked, and each of the R members has shown a verified copy with the stray's own
/// root. Else it stays: it may be the last one.
package struct StrayPlan: Sendable {
  /// What is to be done about the page.
  package struct Findings: Sendable, Hashable {
    /// Dead chunks: condemned through a round, with the node as their holder.
    package var orphans: [ChunkID] = []
    /// Copies to remove from the node, now.
    package var surplus: [ChunkID] = []
    /// Living chunks that full members lack: they are behind.
    package var lacking: [NodeID: [ChunkID]] = [:]
    /// Copies that stay, for a later look.
    package var kept = 0
    /// Of these, living ones whose root is not that of the members' copies.
    package var contradicting: [ChunkID] = []

    package init() {}
  }

  package let node: NodeID
  /// `nil` for a group that the table does not have: nothing but what is dead goes.
  package let row: PlacementGroup?
  /// The strays that live as parts of versions: these may be surplus, in order.
  package let candidates: [InventoryEntry]
  /// The members to ask for verified copies of `candidates`; none when no stray can go now.
  package let members: [NodeID]
  private let orphans: [ChunkID]
  private let others: Int
  private var copies: [NodeID: [ChunkID: InventoryEntry]] = [:]

  /// `isInContact` says whether a node can be ordered now.
  package init(
    node: NodeID, row: PlacementGroup?, page: [InventoryEntry], liveness: [ChunkLiveness],
    isInContact: (NodeID) -> Bool
  ) {
    precondition(page.count == liveness.count, "every stray has its answer")
    precondition(row?.members.contains(node) != true, "a member's chunks are no strays")
    let answered = zip(page, liveness)
    self.node = node
    self.row = row
    orphans = answered.filter { $1 == .dead }.map(\.0.chunk)
    candidates = answered.filter { $1 == .named }.map(\.0)
    others = answered.count { $1 != .dead && $1 != .named }
    members = candidates.isEmpty ? [] : Self.whole(row, isInContact: isInContact)
  }

  /// The members, when all slots are full and in contact.
  private static func whole(_ row: PlacementGroup?, isInContact: (NodeID) -> Bool) -> [NodeID] {
    guard let row, row.slots.allSatisfy({ $0.state == .full && $0.node.map(isInContact) == true }) else {
      return []
    }
    return row.members
  }

  /// Takes what `member` has verified; what it was asked for and is not among it counts as lacking there.
  package mutating func verified(_ entries: some Sequence<InventoryEntry>, by member: NodeID) {
    for entry in entries { copies[member, default: [:]][entry.chunk] = entry }
    if copies[member] == nil { copies[member] = [:] }
  }

  /// Decides. `now` is the row as it is now, `liveness` that of `candidates` from a view taken after the last
  /// member has answered.
  package func findings(now: PlacementGroup?, liveness: [ChunkLiveness], isInContact: (NodeID) -> Bool)
    -> Findings
  {
    precondition(liveness.count == candidates.count, "every candidate has its answer")
    var findings = Findings()
    findings.orphans = orphans
    findings.kept = others
    let isCurrent =
      now != nil && now == row && !members.isEmpty
      && Self.whole(now, isInContact: isInContact) == members && members.allSatisfy { copies[$0] != nil }
    guard isCurrent else {
      findings.kept += candidates.count
      return findings
    }
    for (stray, answer) in zip(candidates, liveness) {
      let lacking = members.filter { copies[$0]?[stray.chunk] == nil }
      if answer == .named, lacking.isEmpty, members.allSatisfy({ copies[$0]?[stray.chunk] == stray }) {
        findings.surplus.append(stray.chunk)
        continue
      }
      findings.kept += 1
      guard answer == .named else { continue }
      for member in lacking { findings.lacking[member, default: []].append(stray.chunk) }
      if lacking.isEmpty { findings.contradicting.append(stray.chunk) }
    }
    return findings
  }
}
