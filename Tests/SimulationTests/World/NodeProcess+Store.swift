import DFSChunkStore
import DFSCore

@testable import DFSCoordinator

// What a datanode does with the chunks of its disk: through the real store where the disk has one.
extension NodeProcess {
  /// Opens the real store, as a datanode's start does, and tells what it found damaged or missing.
  func openStore() {
    guard let shelf = disk.shelf else { return }
    do {
      let report = try shelf.open()
      settle(shelf)
      for place in report.damaged { lost(place.chunk, in: place.group) }
      for place in report.missing { found(place.chunk, in: place.group) }
      world.tally.add("real stores opened")
      world.tell(.storeOpened(disk))
    } catch { world.tell(.storeFailed("the store of node \(node) does not open: \(error)")) }
  }

  /// What was under way when the power went is there, or it is not.
  private func settle(_ shelf: StoreShelf) {
    for place in shelf.uncertain.sorted(by: { ($0.group, $0.chunk) < ($1.group, $1.chunk) }) {
      let isThere: Bool
      // What is damaged is there, too.
      do { isThere = try shelf.root(of: place.chunk, in: place.group) != nil } catch { isThere = true }
      let known = disk.replica(place.chunk, in: place.group)
      if known?.isGood == true {
        if !isThere { disk.forget(place.chunk, in: place.group) }
        continue
      }
      // Nobody was told of a new one, and a bad one is worth nothing: as if it had never been.
      if known != nil { lost(place.chunk, in: place.group) }
      guard isThere else { continue }
      do { try shelf.delete(place.chunk, in: place.group) } catch {
        world.tell(.storeFailed("node \(node) can not delete \(place.chunk): \(error)"))
      }
    }
    shelf.settled()
  }

  /// The store says that a replica is not what it was; it has moved it aside.
  private func lost(_ chunk: ChunkID, in group: GroupID) {
    if let replica = disk.forget(chunk, in: group) {
      world.tell(.replicaRemoved(chunk, group, node, .quarantine, wasGood: replica.isGood))
    }
    found(chunk, in: group)
  }

  // MARK: One replica

  /// Now and then the power fails in the middle of what follows.
  func riskPower() {
    guard let shelf = disk.shelf, world.isStormy, world.chance(4) else { return }
    shelf.failPower(after: 1 + world.below(12))
    world.schedule(after: .milliseconds(50)) { [self] in
      guard isRunning else { return }
      world.tally.add("power cuts in a store")
      world.note("m\(machine.number) is without power")
      shelf.failPower(after: 0)
      world.powerLost(machine)
    }
  }

  /// The root of the replica that is here; none of one that is plainly damaged.
  func root(of chunk: ChunkID, in group: GroupID) -> Digest? {
    guard let shelf = disk.shelf else { return disk.replica(chunk, in: group)?.root }
    return (try? shelf.root(of: chunk, in: group)) ?? nil
  }

  /// Reads every byte. Throws `.notFound`, and `.corrupt` after moving what is bad aside.
  func readWhole(_ chunk: ChunkID, in group: GroupID, root: Digest?) throws {
    if let shelf = disk.shelf {
      do {
        if let root {
          try shelf.read(chunk, in: group, root: root)
        } else {
          _ = try shelf.verify(chunk, in: group)
        }
        if let replica = disk.replica(chunk, in: group), !replica.isGood {
          world.tell(.storeFailed("node \(node) calls the bad replica of \(chunk) good"))
        }
      } catch let error as DFSError where error.code == .corrupt {
        quarantine(chunk, in: group)
        throw error
      }
      return
    }
    guard let replica = disk.replica(chunk, in: group) else {
      throw DFSError(.notFound, "node \(node) has no chunk \(chunk)")
    }
    guard replica.isGood, root.map({ $0 == replica.root }) ?? true else {
      quarantine(chunk, in: group)
      throw DFSError(.corrupt, "chunk \(chunk) fails its checksum")
    }
  }

  // MARK: Many

  var groupsHeld: [GroupID] {
    guard let shelf = disk.shelf else { return disk.groupsWithChunks }
    return (try? shelf.groups()) ?? []
  }

  struct Page {
    var chunks: [(chunk: ChunkID, length: UInt32, root: Digest)] = []
    var more = false
  }

  /// At most `limit` chunks of the group; what proves damaged or gone is told.
  func page(of group: GroupID, after: ChunkID?, limit: Int) throws -> Page {
    guard let shelf = disk.shelf else {
      let rest = disk.chunks(in: group).filter { chunk in after.map { $0 < chunk } ?? true }
      let part = rest.prefix(limit)
      let chunks = part.compactMap { chunk in
        disk.replica(chunk, in: group).map { (chunk, $0.length, $0.root) }
      }
      return Page(chunks: chunks, more: rest.count > part.count)
    }
    var (after, page) = (after, Page(more: true))
    while page.more, page.chunks.isEmpty {
      let part = try shelf.list(group, after: after, limit: min(limit, 100_000))
      for chunk in part.damaged { lost(chunk, in: group) }
      for chunk in part.vanished { found(chunk, in: group) }
      page.chunks = part.chunks.map { ($0.chunk, UInt32($0.length), $0.root) }
      (after, page.more) = (part.last, part.more)
    }
    return page
  }
}
