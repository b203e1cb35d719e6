import DFSCore
import DFSMetadata
import DFSObservability
import DFSWire
import Metrics

extension CoordinatorService {
  func sealSegment(_ request: WireSealSegmentRequest) async throws -> WireSealSegmentResponse {
    let id = try RequestID(request.requestID)
    let chunks = try ReceivedChunk.segment(request.chunks)
    guard !chunks.isEmpty else { throw DFSError(.invalidArgument, "a segment has at least one chunk") }
    guard let segment = UInt32(exactly: request.segment), segment < UInt32(Limits.segments) else {
      throw DFSError(.invalidArgument, "a file has at most \(Limits.segments) segments")
    }
    let upload = UploadID(rawValue: request.upload)
    let stored = try await verify(chunks, of: upload)
    let settled = try await namespace.mutate(
      SealSegment(upload: upload, segment: segment, chunks: stored), id: id)
    await learnChanges(chunks, stored)

    var response = WireSealSegmentResponse()
    response.revision = settled.revision.rawValue
    if case .sendAgain(let indices) = settled.outcome { response.rejectedIndices = indices }
    return response
  }

  /// Checks the groups that a client names against the allocation, and every receipt against its node.
  ///
  /// For an upload that is gone nobody holds anything: the mutation then answers a retry as before, and
  /// refuses anything else.
  func verify(_ chunks: [ReceivedChunk], of upload: UploadID) async throws -> [StoredChunk] {
    guard !chunks.isEmpty else { return [] }
    let (cluster, logger) = (cluster, logger)
    return try await read(chunks.count <= 8 ? .few : .many) { view in
      var members = cluster.withState { $0.membership.members }
      do {
        try checkGroups(chunks, of: upload, in: view)
      } catch let error as DFSError where error.code == .notFound {
        members = [:]
      }
      var verifier = ReceiptVerifier(upload: upload, members: members)
      let stored = chunks.map { verifier.verify($0) }
      if verifier.refused > 0, !members.isEmpty {
        Counter(label: MetricNames.coordinatorRefusedReceiptsTotal).increment(by: Int64(verifier.refused))
        logger.warning(
          "receipts do not verify", metadata: ["upload": "\(upload)", "receipts": "\(verifier.refused)"])
      }
      return stored
    }
  }

  /// A seal may have set members behind: their rows are read again where a receipt was missing. A failure is
  /// none of the seal's, which is durable: the next lookup of such a group brings its row as well.
  func learnChanges(_ chunks: [ReceivedChunk], _ stored: [StoredChunk]) async {
    let missing = cluster.withState { state in
      Set(
        zip(chunks, stored).compactMap { chunk, stored -> GroupID? in
          guard let row = state.table[chunk.reference.group] else { return nil }
          return stored.holders.count < row.members.count ? row.id : nil
        })
    }
    guard !missing.isEmpty else { return }
    do {
      cluster.apply(try await read { try $0.groups(missing.sorted()) })
    } catch {
      logger.info("changed groups are not known yet", metadata: ["error": "\(error)"])
    }
  }
}

/// Throws `.notFound` when the upload is gone, `.invalidArgument` when a chunk is not in its allocated group.
private func checkGroups(_ chunks: [ReceivedChunk], of upload: UploadID, in view: NamespaceView) throws {
  let size = UInt32(Limits.segmentChunks)
  let allocated = try view.upload(upload).allocated
  var pages: [UInt32: [GroupID]] = [:]
  for chunk in chunks.map(\.reference) {
    guard chunk.index < allocated else {
      throw DFSError(.invalidArgument, "index \(chunk.index) was not allocated to upload \(upload)")
    }
    let page = chunk.index / size
    let groups = try pages[page] ?? view.allocation(upload, page: page)
    pages[page] = groups
    let place = Int(chunk.index % size)
    guard place < groups.count, groups[place] == chunk.group else {
      throw DFSError(
        .invalidArgument, "chunk \(chunk.index) of upload \(upload) does not belong to group \(chunk.group)")
    }
  }
}
