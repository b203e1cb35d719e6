import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// At rest every group that can have all its members has them, all full, and every living chunk of which a good
/// copy exists is good on each of them.
struct CopiesReturnToTarget: Invariant {
  let name = "the copy count returns to its target"

  mutating func checkAtRest(in world: World) -> String? {
    let holders = world.holders()
    for (id, row) in world.truth.groups.sorted(by: { $0.key < $1.key }) {
      let wanted = min(Int(row.policy.replicas), world.truth.zones(of: .active).count)
      let full = row.slots.filter { $0.state == .full }.compactMap(\.node)
      if full.count < wanted {
        return "group \(id) has \(full.count) full members of \(wanted): \(row.slots.map(\.summary)); "
          + (world.leader?.sight(of: id) ?? "nobody leads")
      }
      for chunk in world.truth.living(in: id) {
        let copies = Set((holders[id] ?? []).filter { $0.isGood(chunk, in: id) }.map(\.node))
        guard !copies.isEmpty, let lacking = full.first(where: { !copies.contains($0) }) else { continue }
        return "chunk \(chunk) of group \(id) is not good on member \(lacking)"
      }
    }
    return nil
  }
}

extension CoordinatorProcess {
  /// What the coordinator believes of a group, for a person.
  func sight(of group: GroupID) -> String {
    cluster.withState { state in
      let members = (state.table[group]?.slots ?? []).map { slot in
        let member = slot.node.flatMap { state.membership[$0] }
        return "\(slot.summary), \(member.map { "\($0.record.state) \($0.life)" } ?? "")"
          + (member?.record.isSuspect == true ? " suspect" : "")
          + (member?.isInContact == true ? "" : " out of contact")
      }
      let others = state.membership.present.filter { !$0.isEligible }.map { member in
        "\(member.id) \(member.record.state) \(member.life)" + (member.record.isSuspect ? " suspect" : "")
          + (member.steadiness.isOnProbation ? " on probation" : "")
      }
      return "c\(number) sees \(members); not eligible are \(others)"
    }
  }
}

extension GroupSlot {
  var summary: String { node.map { "\($0) \(state)" } ?? "vacant" }
}

extension MetadataTruth {
  /// The zones of nodes in a state.
  func zones(of state: NodeState) -> Set<String> {
    Set(nodes.values.filter { $0.state == state }.map { $0.zone.isEmpty ? "\($0.id)" : $0.zone })
  }
}
