import DFSCore
import DFSMetadata

@testable import DFSCoordinator
@testable import DFSDataNode

/// What a datanode does when it is ordered to: each function is the call of the same name.
extension NodeProcess {
  /// As `ReapChunks`.
  func reap(_ runs: [ReapPlan.Run], _ epoch: Epoch, at groupEpoch: GroupEpoch?, because cause: RemovalCause)
    throws
  {
    try obey(epoch)
    for run in runs {
      if let groupEpoch { try epochs.admit(run.group, at: groupEpoch) }
      for index in run.first..<run.first + run.count {
        let chunk = ChunkID(inode: run.inode, index: index)
        riskPower()
        guard let replica = try disk.remove(chunk, in: run.group) else { continue }
        world.tally.add("replicas removed: \(cause)")
        world.note("m\(machine.number) removes \(chunk): \(cause)")
        world.tell(.replicaRemoved(chunk, run.group, node, cause, wasGood: replica.isGood))
      }
    }
  }

  /// As `ListChunks` with an epoch.
  func list(
    _ group: GroupID, _ epoch: Epoch, at groupEpoch: GroupEpoch?, after: ChunkID?, limit: Int,
    depth: NodeInventories.Depth
  ) throws -> InventoryPage {
    if let groupEpoch { try obey(epoch, in: group, at: groupEpoch) } else { try obey(epoch) }
    let page = try page(of: group, after: after, limit: limit)
    let entries = page.chunks.compactMap { chunk, length, root -> InventoryEntry? in
      if depth == .verified, (try? readWhole(chunk, in: group, root: nil)) == nil { return nil }
      return InventoryEntry(chunk: chunk, length: length, root: root)
    }
    // An empty page is the last one.
    return InventoryPage(entries: entries, more: page.more && !entries.isEmpty)
  }

  /// One chunk of `CopyChunks`: what the sources gave is verified on arrival.
  func keep(
    _ chunk: ChunkID, in group: GroupID, from source: Replica?, length: UInt32, root: Digest, _ epoch: Epoch,
    at groupEpoch: GroupEpoch
  ) throws {
    try obey(epoch)
    try epochs.admit(group, at: groupEpoch)
    // The footer is looked at, not every byte: rot is found by scrubbing.
    let here = self.root(of: chunk, in: group)
    guard here != root else { return }
    guard let source, source.isGood, source.root == root, source.length == length else {
      throw DFSError(.unavailable, "no source has a good copy of chunk \(chunk)")
    }
    // Another content goes aside, once the right one is here.
    if here != nil { quarantine(chunk, in: group) }
    riskPower()
    try disk.keep(chunk, in: group, source)
    world.tally.add("replicas copied")
    world.tell(.replicaStored(chunk, group, node, root))
  }

  /// As the scrub: reads some of its chunks to the last byte.
  func scrub(_ count: Int) {
    for group in groupsHeld {
      guard let page = try? page(of: group, after: nil, limit: count) else { continue }
      for found in page.chunks { _ = try? readWhole(found.chunk, in: group, root: nil) }
    }
  }
}
