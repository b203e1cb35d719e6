import DFSCore
import DFSWire

// Copies that were found bad before.
extension GroupReconciler {
  /// Copies of one node that are read again for one page.
  private static let mostRereads = 64

  /// What a node lists counts for what it has, but for copies that were found bad on it: those are read again first. A
  /// node that could not move one aside lists it as a good one after its next start, and says that it has it when it
  /// is told to copy it.
  ///
  /// Gives the entries without those that are bad still. Throws where that is not known: the node's list proves
  /// nothing then. What was found out meanwhile is not asked for again.
  func sound(_ entries: [InventoryEntry], of group: GroupID, on node: NodeID) async throws -> [InventoryEntry]
  {
    guard case .chunks(let known) = reports.doubt(of: group, on: node), !known.isEmpty else { return entries }
    let doubted = entries.filter { known.contains($0.chunk) }
    var bad: Set<ChunkID> = []
    for entry in doubted.prefix(Self.mostRereads) {
      do {
        let found = try await channels.verified(entry.chunk, of: group, on: node)
        guard found.length == entry.length, found.root == entry.root.wire else {
          bad.insert(entry.chunk)
          continue
        }
        reports.forget(entry.chunk, on: node)
      } catch let error as DFSError where error.code == .corrupt || error.code == .notFound {
        bad.insert(entry.chunk)
      }
    }
    guard doubted.count <= Self.mostRereads else {
      throw DFSError(
        .unavailable,
        "node \(node) lists \(doubted.count) copies that were found bad: it reads them again, \(Self.mostRereads) a pass"
      )
    }
    return entries.filter { !bad.contains($0.chunk) }
  }

  /// Why the answer to an order proves no good copy; `nil` when it does. A node that says that it has the chunk has
  /// not read what it has.
  func fault(of answer: WireCopyChunksResponse, of group: GroupID, on node: NodeID) -> String? {
    guard answer.reason.isEmpty else { return answer.message }
    let chunk = ChunkID(answer.chunk)
    switch reports.doubt(of: group, on: node) {
    case .chunks(let known) where !known.contains(chunk): return nil
    case .chunks, .everything:
      return answer.copiedBytes > 0 ? nil : "it has chunk \(chunk) already, which was found bad there"
    }
  }
}
