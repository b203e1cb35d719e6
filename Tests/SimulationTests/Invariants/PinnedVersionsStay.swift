import DFSCore

/// What a reader has pinned is not reaped before the pin ends.
struct PinnedVersionsStay: Invariant {
  let name = "a pinned version stays"
  private var pinned: [InodeID: Moment] = [:]

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .versionPinned(let inode, let end): pinned[inode] = max(pinned[inode] ?? end, end)
    case .replicaRemoved(let chunk, let group, let node, .reaped, _):
      guard let end = pinned[chunk.inode], world.now < end, world.truth.isNamed(chunk, in: group) else {
        break
      }
      return "node \(node) reaped chunk \(chunk), which is pinned until \(end)"
    default: break
    }
    return nil
  }
}
