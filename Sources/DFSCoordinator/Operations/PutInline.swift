import DFSCore
import DFSCrypto
import DFSMetadata
import DFSWire

extension CoordinatorService {
  func putInline(_ request: WirePutInlineRequest) async throws -> WirePutInlineResponse {
    let id = try RequestID(request.requestID)
    let path = try filePath(request.path)
    let precondition = try WritePrecondition(request.precondition)
    let attributes = try FileAttributes(request.attributes)
    let policy = try PlacementPolicy.wanted(request.replicas)
    let limit = configuration.namespace.inlineLimit.int
    guard request.content.count <= limit else {
      throw DFSError(
        .invalidArgument,
        "at most \(limit) bytes are stored inline, not \(request.content.count); upload them",
        metadata: ["inline_limit": "\(limit)"])
    }
    let content = [UInt8](request.content)
    let root = try Digest(wire: request.root, "the content's root")
    guard content.withUnsafeBytes({ MerkleTree.root(of: MerkleTree.leaves(of: $0)) }) == root else {
      throw DFSError(.corrupt, "the content of \(path) is not what its root says; it was damaged on its way")
    }
    let put = PutInline(
      target: path, attributes: attributes, precondition: precondition, chunkSize: configuration.chunkSize,
      policy: policy, bytes: content, root: root)
    let settled = try await settle(put, at: path, makeParents: request.makeParents, id: id)
    var response = WirePutInlineResponse()
    response.attributes = await version(madeBy: settled.outcome)
    response.revision = settled.revision.rawValue
    return response
  }

  /// Tries without a look at the parents first, which are there nearly always.
  private func settle(
    _ put: PutInline, at path: RemotePath, makeParents: Bool, id: RequestID
  ) async throws -> Settled<WriteReceipt> {
    do {
      return try await namespace.mutate(put, id: id)
    } catch let error as DFSError where error.code == .notFound && makeParents {
      _ = try await parent(of: path, makeParents: true, id: id)
      return try await namespace.mutate(put, id: id)
    }
  }
}
