import DFSChunkStore
import DFSCore
import DFSWire

/// An order of the coordinator to forget condemned chunks. Done twice, it is done once: what is not there
/// counts as gone.
extension DataNodeService {
  func reapChunks(_ request: WireReapChunksRequest) async throws -> WireReapChunksResponse {
    try checkAddressee(request.node)
    let epoch = try Epoch(request.epoch)
    let total = request.chunks.reduce(UInt64(0)) { $0 + UInt64($1.count) }
    guard total <= Self.mostChunks else {
      throw DFSError(
        .invalidArgument, "an order to reap names at most \(Self.mostChunks) chunks, not \(total)")
    }
    for run in request.chunks where run.firstIndex.addingReportingOverflow(run.count).overflow {
      throw DFSError(.invalidArgument, "the indices of inode \(InodeID(rawValue: run.inode)) pass 32 bits")
    }
    let removed = try await disk.run { [store, membership] in
      try membership.obey(epoch)
      var removed = DeletedChunks()
      var full: DFSError?
      for run in request.chunks {
        let group = GroupID(rawValue: run.group)
        if run.groupEpoch != 0 {
          try membership.checkOrder(epoch, in: group, at: GroupEpoch(rawValue: run.groupEpoch))
        }
        let chunks = (0..<run.count).map {
          ChunkID(inode: InodeID(rawValue: run.inode), index: run.firstIndex + $0)
        }
        do {
          let part = try store.delete(chunks, in: group)
          removed.count += part.count
          removed.bytes = removed.bytes + part.bytes
        } catch let error as DFSError where error.code == .exhausted {
          // The others may free what this one lacks; the coordinator orders all of it again.
          full = full ?? error
        }
      }
      if let full { throw full }
      return removed
    }
    return .with {
      $0.removed = UInt64(removed.count)
      $0.removedBytes = UInt64(removed.bytes.rawValue)
    }
  }

  private static let mostChunks: UInt64 = 10_000
}
