import DFSCore

/// A version that a client was told of is in the metadata then, and is not gone later without having been
/// condemned.
struct AcknowledgedVersionsAreDurable: Invariant {
  let name = "an acknowledged version is durable"
  private var known: Set<InodeID> = []
  private var condemned: Set<InodeID> = []

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .versionMade(let inode): known.insert(inode)
    case .condemned(let inode, .version): condemned.insert(inode)
    case .versionAcknowledged(let inode):
      if !known.contains(inode) { return "version \(inode) was acknowledged and is not in the metadata" }
    case .coordinatorLeads:
      let gone = known.subtracting(condemned).subtracting(world.truth.versions)
      if let inode = gone.min() { return "version \(inode) is not there after a coordinator's start" }
    case .versionGone(let inode): known.remove(inode)
    case .metadataRestored: known = world.truth.versions
    default: break
    }
    return nil
  }
}
