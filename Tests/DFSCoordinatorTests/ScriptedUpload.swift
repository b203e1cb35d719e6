import DFSCore
import DFSCrypto
import DFSWire
import Foundation

/// The metadata side of one upload, step by step: chunks of 64 KiB whose bytes exist only as roots.
struct ScriptedUpload: Sendable {
  static let chunkSize = UInt32(64 << 10)

  var begun: WireBeginUploadResponse
  var allocations: [WireAllocation]
  var groups: [UInt32: WireGroup]

  static func beginRequest(_ path: String, at scene: CoordinatorScene, chunks: UInt32 = 1)
    -> WireBeginUploadRequest
  {
    var request = WireBeginUploadRequest()
    request.requestID = scene.requestID()
    request.path = path
    request.chunkSize = chunkSize
    request.chunks = chunks
    return request
  }

  static func root(ofChunk index: UInt32) -> Digest { SHA256.hash(Array("chunk \(index)".utf8)) }

  init(_ request: WireBeginUploadRequest, at scene: CoordinatorScene) async throws {
    begun = try await scene.call(CoordinatorMethods.beginUpload, request)
    allocations = begun.allocations
    groups = Dictionary(begun.groups.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  init(_ path: String, at scene: CoordinatorScene, chunks: UInt32 = 1) async throws {
    try await self.init(Self.beginRequest(path, at: scene, chunks: chunks), at: scene)
  }

  var indices: [(index: UInt32, group: UInt32)] {
    allocations.flatMap { run in (0..<run.count).map { (run.firstIndex + $0, run.group) } }
  }

  /// Every allocated chunk, full but for the last where `lastLength` says so, with receipts of `nodes` that
  /// are members.
  func sealedChunks(by nodes: [ScriptedNode], lastLength: UInt32 = chunkSize) throws -> [WireSealedChunk] {
    let indices = indices
    return try indices.enumerated().map { place, allocated in
      var reference = WireChunkReference()
      reference.index = allocated.index
      reference.group = allocated.group
      reference.length = place == indices.count - 1 ? lastLength : Self.chunkSize
      reference.root = Self.root(ofChunk: allocated.index).wire
      var chunk = WireSealedChunk()
      chunk.reference = reference
      let group = groups[allocated.group]
      chunk.receipts = try nodes.filter { node in group?.slots.contains { $0.node == node.node } == true }
        .map { try $0.receipt(reference, of: begun.upload, groupEpoch: group?.epoch ?? 0) }
      return chunk
    }
  }

  func commitRequest(_ chunks: [WireSealedChunk], at scene: CoordinatorScene) -> WireCommitUploadRequest {
    var request = WireCommitUploadRequest()
    request.requestID = scene.requestID()
    request.upload = begun.upload
    request.chunkCount = UInt64(chunks.count)
    request.length = chunks.reduce(0) { $0 + UInt64($1.reference.length) }
    request.root = SHA256.hash(Array("file".utf8)).wire
    request.rootKind = .canonical
    request.lastSegment = chunks
    return request
  }

  /// Begins, writes and commits a file in one go.
  @discardableResult
  static func put(
    _ path: String, by nodes: [ScriptedNode], at scene: CoordinatorScene, chunks: UInt32 = 1
  ) async throws -> WireAttributes {
    let upload = try await ScriptedUpload(path, at: scene, chunks: chunks)
    let request = upload.commitRequest(try upload.sealedChunks(by: nodes), at: scene)
    return try await scene.call(CoordinatorMethods.commitUpload, request).attributes
  }
}

extension CoordinatorScene {
  func lookup(_ path: String) async throws -> WireLookupResponse {
    var request = WireLookupRequest()
    request.path = path
    return try await call(CoordinatorMethods.lookup, request)
  }

  func stat(_ path: String) async throws -> WireAttributes {
    var request = WireStatRequest()
    request.path = path
    return try await call(CoordinatorMethods.stat, request).attributes
  }

  @discardableResult
  func putInline(_ path: String, _ content: [UInt8], makeParents: Bool = false) async throws -> WireAttributes
  {
    try await call(CoordinatorMethods.putInline, inlineRequest(path, content, makeParents: makeParents))
      .attributes
  }

  func inlineRequest(_ path: String, _ content: [UInt8], makeParents: Bool = false) -> WirePutInlineRequest {
    var request = WirePutInlineRequest()
    request.requestID = requestID()
    request.path = path
    request.makeParents = makeParents
    request.content = Data(content)
    request.root = content.withUnsafeBytes { MerkleTree.root(of: MerkleTree.leaves(of: $0)) }.wire
    return request
  }

  @discardableResult
  func remove(
    _ path: String, recursive: Bool = false, now: Bool = false
  ) async throws -> WireRemoveResponse {
    var request = WireRemoveRequest()
    request.requestID = requestID()
    request.path = path
    request.recursive = recursive
    request.now = now
    return try await call(CoordinatorMethods.remove, request)
  }

  func status() async throws -> WireGetStatusResponse {
    try await call(CoordinatorMethods.getStatus, WireGetStatusRequest())
  }

  func list(_ path: String, recursive: Bool = false, pageSize: UInt32 = 0, page: Data = Data()) async throws
    -> WireListResponse
  {
    var request = WireListRequest()
    request.path = path
    request.recursive = recursive
    request.pageSize = pageSize
    request.page = page
    return try await call(CoordinatorMethods.list, request)
  }
}
