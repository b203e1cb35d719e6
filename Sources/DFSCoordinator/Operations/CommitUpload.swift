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
      response.attributes = try await version(madeBy: receipt)
    }
    return response
  }

  /// The version that a write made, whatever became of its name since.
  func version(madeBy receipt: WriteReceipt) async throws -> WireAttributes {
    try await read { view in
      guard var status = try view.version(receipt.inode) else {
        // Replaced and reaped since: what a retry still has to know.
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
}
