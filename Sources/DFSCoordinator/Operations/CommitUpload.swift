import DFSCore
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func commitUpload(_ request: WireCommitUploadRequest) async throws -> WireCommitUploadResponse {
    let id = try RequestID(request.requestID)
    let upload = UploadID(rawValue: request.upload)
    let attributes = try FileAttributes(request.attributes)
    let root = try Digest(wire: request.root, "the file's root")
    guard request.rootKind == .canonical else {
      throw DFSError(.invalidArgument, "a file's root must be of the canonical kind")
    }
    guard let length = Int64(exactly: request.length) else {
      throw DFSError(.invalidArgument, "a file can not have \(request.length) bytes")
    }
    let chunks = try ReceivedChunk.segment(request.lastSegment)
    let stored = try await verify(chunks, of: upload)
    let settled = try await namespace.mutate(
      CommitUpload(
        upload: upload, final: stored, chunkCount: request.chunkCount, length: ByteCount(rawValue: length),
        root: root, attributes: attributes),
      id: id)
    await learnChanges(chunks, stored)

    var response = WireCommitUploadResponse()
    response.revision = settled.revision.rawValue
    switch settled.outcome {
    case .sendAgain(let indices):
      response.rejectedIndices = indices
    case .committed(let receipt):
      response.fewestReplicas = UInt32(receipt.replicas)
      response.attributes = await version(madeBy: receipt)
    }
    return response
  }

  /// The version that a write made, whatever became of its name since. It is durable and visible: a failure to
  /// read it back must not look like a failure of the write.
  func version(madeBy receipt: WriteReceipt) async -> WireAttributes {
    let found = try? await read(.few) { view in try view.version(receipt.inode) }
    guard var status = found ?? nil else {
      // Replaced and reaped since, or out of reach: what a retry still has to know.
      var attributes = WireAttributes()
      attributes.inode = receipt.inode.rawValue
      attributes.type = .file
      attributes.revision = receipt.revision.rawValue
      return attributes
    }
    status.revision = receipt.revision
    return WireAttributes(status)
  }
}
