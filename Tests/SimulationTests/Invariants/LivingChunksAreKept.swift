/// No living chunk is ever deleted: what is reaped was condemned before, whoever ordered it.
struct LivingChunksAreKept: Invariant {
  let name = "no living chunk is deleted"

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    guard case .replicaRemoved(let chunk, let group, let node, .reaped, _) = event,
      world.truth.isAlive(chunk, in: group)
    else { return nil }
    return "node \(node) reaped chunk \(chunk) of group \(group), which is alive"
  }
}
