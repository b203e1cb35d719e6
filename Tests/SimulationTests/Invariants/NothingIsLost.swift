import DFSCore

/// No acknowledged chunk is lost while a copy of it survives: at rest every chunk of every living version that
/// has a good copy on any disk of the cluster is good on a full member of its group that can be reached.
struct NothingIsLost: Invariant {
  let name = "nothing is lost while a copy survives"

  mutating func checkAtRest(in world: World) -> String? {
    let holders = world.holders()
    for (id, row) in world.truth.groups.sorted(by: { $0.key < $1.key }) {
      let full = Set(row.slots.filter { $0.state == .full }.compactMap(\.node))
      for chunk in world.truth.living(in: id) {
        let copies = (holders[id] ?? []).filter { $0.isGood(chunk, in: id) }
        guard !copies.isEmpty, !copies.contains(where: { full.contains($0.node) }) else { continue }
        let places = copies.map { "\($0.node)" }.joined(separator: ", ")
        return "chunk \(chunk) of group \(id) is on no full member, but on \(places)"
      }
    }
    return nil
  }
}
