import DFSCore

/// A deletion leaves the trash before its time only while the disks are nearly full: of the nodes that run, some
/// had less free in the last minute than the tenth that is to be free everywhere.
struct TrashKeepsItsTime: Invariant {
  let name = "the trash keeps its time"
  private static let moment = Span.minutes(1)
  private var shortAt: Moment?

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .replicaStored, .replicaRemoved, .replicaDestroyed: look(world)
    case .trashRelieved(let deletion):
      look(world)
      guard let shortAt, world.now - shortAt <= Self.moment else {
        return "deletion \(deletion) left the trash early though every disk has a tenth free"
      }
    default: break
    }
    return nil
  }

  private mutating func look(_ world: World) {
    let capacity = world.scenario.capacity
    guard capacity < .gib(1) else { return }
    let wanted = capacity.rawValue / 10
    if world.disks.contains(where: { world.free(on: $0).rawValue < wanted }) { shortAt = world.now }
  }
}
