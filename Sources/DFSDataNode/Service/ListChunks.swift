import DFSChunkStore
import DFSCore
import DFSWire

/// One page of a group's inventory. With an epoch it is an order: what the group's new epoch forbids is
/// forbidden for good before the inventory is taken.
extension DataNodeService {
  func listChunks(_ request: WireListChunksRequest) async throws -> WireListChunksResponse {
    if request.node != 0 { try checkAddressee(request.node) }
    let group = GroupID(rawValue: request.group)
    if request.hasEpoch {
      let epoch = try Epoch(request.epoch)
      try await disk.run { [membership] in
        try membership.obey(epoch, in: group, at: GroupEpoch(rawValue: request.groupEpoch))
      }
    }
    let largest = request.verify ? Self.largestVerifiedPage : Self.largestPage
    let limit = request.pageSize == 0 ? largest : min(Int(request.pageSize), largest)
    var page = ChunkPage(chunks: [], more: true)
    var cursor = request.hasAfter ? ChunkID(request.after) : nil
    let end = clock.now().advanced(by: Self.patience)
    // A page may be short, but an empty one is the last: the caller has nothing to go on after.
    while page.more, page.chunks.isEmpty || page.chunks.count < limit && clock.now() < end {
      let step = min(limit - page.chunks.count, request.verify ? 1 : Self.step)
      let part = try await list(group, after: cursor, limit: step)
      page.more = part.more
      cursor = part.last ?? cursor
      for found in part.chunks {
        if request.verify, try await !isSound(found) { continue }
        page.chunks.append(found)
      }
    }
    return .with {
      $0.chunks = page.chunks.map { found in
        .with {
          $0.chunk = WireChunkId(found.chunk)
          $0.length = UInt32(found.length)
          $0.root = found.root.wire
        }
      }
      $0.more = page.more
    }
  }

  private static let largestPage = 10_000
  private static let largestVerifiedPage = 256
  /// Chunks looked at in one visit to the disk.
  private static let step = 500
  /// After so long a page is answered short: a slow disk must not cost the caller its deadline.
  private static let patience: Duration = .seconds(2)

  /// A page of the store; what proved damaged, or is gone, is reported.
  func list(_ group: GroupID, after cursor: ChunkID?, limit: Int) async throws -> ChunkPage {
    let page = try await disk.run { [store] in try store.list(group, after: cursor, limit: limit) }
    for chunk in page.damaged {
      noteBad(
        chunk, in: group, because: DFSError(.corrupt, "its footer is damaged or its file cut short"))
    }
    for chunk in page.vanished {
      membership.report(chunk, in: group, .missing)
      logger.error(
        "a chunk's file is gone though nobody removed it",
        metadata: ["chunk": "\(chunk)", "group": "\(group)"])
    }
    return page
  }

  /// Reads every byte of the chunk; a bad one is moved aside and reported.
  private func isSound(_ chunk: ChunkDescription) async throws -> Bool {
    let start = clock.now()
    do {
      _ = try await disk.run { [store] in try store.verify(chunk.chunk, in: chunk.group) }
    } catch let error as DFSError where error.code == .corrupt {
      await quarantine(chunk.chunk, in: chunk.group, because: error)
      return false
    } catch let error as DFSError where error.code == .notFound {
      return false
    }
    try await pacer.rest(after: chunk.length, took: start.duration(to: clock.now()))
    return true
  }
}
