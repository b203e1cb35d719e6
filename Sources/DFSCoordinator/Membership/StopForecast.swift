package import DFSCore
import DFSMetadata

/// What would be if some nodes were stopped together: the answer to `can-stop`.
package struct StopForecast: Sendable, Hashable {
  /// Groups with one of the nodes that would have no full member in contact.
  package private(set) var unreadable = 0
  /// Groups with one of the nodes that would have fewer writable members than a write needs.
  package private(set) var unwritable = 0
  /// Groups that would have exactly one full member in contact, while more are wanted.
  package private(set) var onOneCopy = 0
  private var stopped: Int

  package init(stopping nodes: Set<NodeID>, table: SlotTable, membership: Membership) {
    stopped = nodes.count
    let groups = nodes.reduce(into: Set<GroupID>()) { $0.formUnion(table.groups(of: $1)) }
    for row in groups.compactMap({ table[$0] }) {
      let rest = row.slots.filter { slot in slot.node.map { !nodes.contains($0) } ?? false }
      let full = rest.count { slot in
        slot.state == .full && slot.node.flatMap { membership[$0] }?.isInContact == true
      }
      let writable = rest.count { slot in slot.node.flatMap { membership[$0] }?.isWritable == true }
      if full == 0 { unreadable += 1 }
      if full == 1, row.policy.replicas > 1 { onOneCopy += 1 }
      if writable < row.policy.writeQuorum { unwritable += 1 }
    }
  }

  package var canStop: Bool { unreadable == 0 && unwritable == 0 }

  /// A sentence for a person when the answer is no.
  package var reason: String {
    guard !canStop else { return "" }
    var parts: [String] = []
    if unreadable > 0 { parts.append("\(unreadable) groups would have no full copy in contact") }
    if unwritable > 0 { parts.append("\(unwritable) groups would have too few nodes for a write") }
    let them = stopped == 1 ? "this node" : "these \(stopped) nodes"
    return "without \(them) " + parts.joined(separator: " and ")
      + "; wait until repair is done, or stop fewer at once"
  }
}
