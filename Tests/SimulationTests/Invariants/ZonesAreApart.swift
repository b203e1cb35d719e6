import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// No node is put beside a member of its own zone where the cluster has at least as many zones as the group has
/// replicas.
struct ZonesAreApart: Invariant {
  let name = "never two copies in one zone"

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    guard case .groupChanged(let old, let row) = event, world.truth.zones.count >= Int(row.policy.replicas)
    else { return nil }
    for node in row.members where old?.members.contains(node) != true {
      guard let zone = world.zone(of: node) else { continue }
      let others = row.members.filter { $0 != node && world.zone(of: $0) == zone }
      if let other = others.first {
        return "group \(row.id): node \(node) was put beside \(other), both in zone \(zone)"
      }
    }
    return nil
  }
}

extension World {
  func zone(of node: NodeID) -> Zone? {
    truth.nodes[node].map { Zone(name: $0.zone, node: $0.id) }
  }
}
