import DFSCore
import DFSMetadata
import DFSRPC
import DFSWire

// Chunks that were found nowhere.
extension GroupReconciler {
  private static let lookEvery = Duration.seconds(30)
  /// Groups that are looked at in one turn, and chunks of each.
  private static let groupsAtOnce = 8
  private static let chunksAtOnce = 16

  /// A node that came back may have what was lost, although it is no member any more: then the members are
  /// `behind`, and get it from there.
  func lookForLost() async {
    let time = now()
    let due = cluster.withState {
      $0.repair.takeLost(
        Self.groupsAtOnce, membership: $0.membership.version, every: Self.lookEvery, now: time)
    }
    await withTaskGroup(of: Void.self) { tasks in
      for (group, chunks) in due { tasks.addTask { await look(for: chunks, of: group) } }
    }
  }

  private func look(for chunks: [ChunkID], of group: GroupID) async {
    guard let row = cluster.withState({ $0.table[group] }) else { return }
    let others = await formers.holders(of: group, otherThan: Set(row.members), anew: true).holders
    for chunk in chunks.prefix(Self.chunksAtOnce) where await isHeld(chunk, in: group, by: others) {
      logger.notice("a lost chunk is back", metadata: ["chunk": "\(chunk)", "group": "\(group)"])
      do {
        // They lost nothing now: what they took for open uploads counts as before.
        for node in row.members {
          try await groups.markBehind(node, [group], .lacks, because: "a lost chunk is back")
        }
      } catch {
        logger.warning("it could not be noted", metadata: ["group": "\(group)", "error": "\(error)"])
      }
      return
    }
  }

  /// Whether one of the nodes has what the metadata means by the id.
  private func isHeld(_ chunk: ChunkID, in group: GroupID, by nodes: [NodeID]) async -> Bool {
    let namespace = namespace
    let reference = try? await disk.run { try namespace.view().reference(of: chunk) }
    guard let reference else { return false }
    var request = WireStatChunkRequest()
    request.chunk = WireChunkId(chunk)
    request.group = group.rawValue
    for node in nodes where hanging.mayAsk(node, now: now()) {
      let answer = try? await channels.channel(to: node).call(
        DataNodeMethods.statChunk, request, options: CallOptions(timeout: .seconds(5)))
      if let answer, reference.isOf(answer) { return true }
    }
    return false
  }
}
