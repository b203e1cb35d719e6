import DFSCore
import DFSMetadata

@testable import DFSChunkStore

/// A real chunk store has every chunk that it has acknowledged, whole but for what a fault did to it, and none
/// that it has removed: not as it looks to its process, but as it would be if the power went just now. And
/// nobody moves a good replica aside.
struct StoresKeepTheirWord: Invariant {
  let name = "a store keeps its word"
  private var stored = 0

  mutating func observe(_ event: WorldEvent, in world: World) -> String? {
    switch event {
    case .storeOpened(let disk): return check(disk)
    case .storeFailed(let what): return what
    case .replicaRemoved(let chunk, _, let node, .quarantine, true):
      return "node \(node) moved the good replica of \(chunk) aside"
    case .replicaStored(_, _, let node, _) where world.scenario.realStores > 0:
      guard let disk = world.disks.first(where: { $0.node == node && $0.shelf != nil }) else { break }
      stored += 1
      return stored % 20 == 0 ? check(disk) : nil
    default: break
    }
    return nil
  }

  mutating func checkAtRest(in world: World) -> String? {
    for disk in world.disks { if let broken = check(disk) { return broken } }
    return nil
  }

  private func check(_ disk: Disk) -> String? {
    guard let copy = disk.shelf?.copyAfterCrash() else { return nil }
    do {
      let report = try copy.open()
      for place in report.damaged where disk.isGood(place.chunk, in: place.group) {
        return "node \(disk.node) finds \(place.chunk) damaged, which it had acknowledged"
      }
      return try missing(disk, copy) ?? returned(disk, copy)
    } catch { return "the store of node \(disk.node) does not open: \(error)" }
  }

  private func missing(_ disk: Disk, _ copy: StoreShelf) throws -> String? {
    for (group, replicas) in disk.groups {
      for (chunk, replica) in replicas where replica.isGood {
        let place = StoreShelf.Place(chunk: chunk, group: group)
        if copy.uncertain.contains(place) { continue }
        do {
          guard try copy.verify(chunk, in: group).root != replica.root else { continue }
          return "node \(disk.node) has another content of \(chunk) than it had acknowledged"
        } catch { return "node \(disk.node) has lost \(chunk), which it had acknowledged: \(error)" }
      }
    }
    return nil
  }

  private func returned(_ disk: Disk, _ copy: StoreShelf) throws -> String? {
    for group in try copy.groups() {
      for found in try copy.list(group, after: nil, limit: .max - 1).chunks {
        let place = StoreShelf.Place(chunk: found.chunk, group: group)
        if disk.replica(found.chunk, in: group) == nil, !copy.uncertain.contains(place) {
          return "node \(disk.node) has \(found.chunk) again, which was removed"
        }
      }
    }
    return nil
  }
}
