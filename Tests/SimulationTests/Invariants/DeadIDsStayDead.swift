import DFSCore

/// Liveness goes one way: open upload, version, condemned, gone. No id is given out twice, and none that was
/// condemned is bound to a name or written to again.
struct DeadIDsStayDead: Invariant {
  let name = "no dead id becomes alive"
  private var opened: Set<InodeID> = []
  private var made: Set<InodeID> = []
  private var dead: Set<InodeID> = []

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .uploadOpened(let inode):
      if dead.contains(inode) { return "upload \(inode) was opened, but its id is dead" }
      if made.contains(inode) { return "upload \(inode) was opened, but its id is that of a version" }
      if !opened.insert(inode).inserted { return "upload \(inode) was opened twice" }
    case .versionMade(let inode):
      if dead.contains(inode) { return "version \(inode) was made, but its id is dead" }
      if !made.insert(inode).inserted { return "version \(inode) was made twice" }
    case .condemned(let inode, let kind):
      // Leftovers and orphans are single chunks; their version may live.
      if kind == .version || kind == .upload || kind == .tree { dead.insert(inode) }
    case .nameBound(let inode):
      if dead.contains(inode) { return "a name was given to \(inode), which is condemned" }
    case .versionGone(let inode): dead.insert(inode)
    case .metadataRestored:
      // What the lost rounds did never happened; the ids they gave out are of an incarnation that is over.
      (opened, made, dead) = (world.truth.uploads, world.truth.versions, [])
    default: break
    }
    return nil
  }
}
