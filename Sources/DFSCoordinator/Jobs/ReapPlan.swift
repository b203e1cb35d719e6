package import DFSCore
import DFSMetadata

/// Which chunks are to be deleted where: orders for every member of each chunk's group, and for the nodes
/// that hold orphans.
///
/// A page is done when every member has carried its orders out; a page with a member that can not be reached
/// now is held back whole, and so is one whose group is unknown. A member that is out or removed is not
/// waited for: its slot goes to another, and what it brings back is the sweep's to find.
package struct ReapPlan: Sendable {
  /// Consecutive chunks of one version in one group.
  package struct Run: Hashable, Sendable {
    package var inode: InodeID
    package var group: GroupID
    package var first: UInt32
    package var count: UInt32
  }

  struct Part: Sendable {
    var page: ReapPage
    /// Who has to carry its orders out.
    var nodes: Set<NodeID>
  }

  private(set) var orders: [NodeID: [Run]] = [:]
  private(set) var parts: [Part] = []
  private(set) var heldBack = 0
  private(set) var chunks = 0

  mutating func add(_ page: ReapPage, table: SlotTable, membership: Membership) {
    var nodes: Set<NodeID> = []
    for group in Set(page.chunks.map(\.group)) {
      // Orphans may be of a group that is not known: nobody but their holders has them.
      if table[group] == nil, page.kind == .orphans { continue }
      let members = table[group]?.members.filter { membership[$0]?.isGone == false }
      guard let members, members.allSatisfy({ membership[$0]?.isInContact == true }) else {
        heldBack += 1
        return
      }
      nodes.formUnion(members)
    }
    // A holder that was given up is not waited for: what it brings back is found again.
    let holders = page.holders.filter { membership[$0].map { !$0.isGone } ?? false }
    guard holders.allSatisfy({ membership[$0]?.isInContact == true }) else {
      heldBack += 1
      return
    }
    for run in Self.runs(of: page.chunks) {
      let members = table[run.group]?.members.filter { nodes.contains($0) } ?? []
      for node in Set(members).union(holders) {
        orders[node, default: []].append(run)
      }
    }
    chunks += page.chunks.count
    parts.append(Part(page: page, nodes: nodes.union(holders)))
  }

  static func runs(of chunks: [CondemnedChunk]) -> [Run] {
    let sorted = chunks.sorted { ($0.group, $0.chunk) < ($1.group, $1.chunk) }
    var runs: [Run] = []
    for chunk in sorted {
      let (inode, index) = (chunk.chunk.inode, chunk.chunk.index)
      if let last = runs.last, last.inode == inode, last.group == chunk.group,
        UInt64(last.first) + UInt64(last.count) == UInt64(index)
      {
        runs[runs.count - 1].count += 1
      } else {
        runs.append(Run(inode: inode, group: chunk.group, first: index, count: 1))
      }
    }
    return runs
  }
}
