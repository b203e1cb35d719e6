import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore

@testable import DFSClient

/// A coordinator and datanodes that keep everything in memory and speak the real protocol over real sockets,
/// with faults to order. Only what a client needs; the real roles are tested in ClusterTests.
final class LoopbackCluster: Sendable {
  struct StoredFile: Sendable {
    var attributes: WireAttributes
    var content = Data()
    var chunks: [WireChunkReference] = []
  }

  struct StoredChunk: Sendable {
    var bytes: ByteBuffer
    var leaves: [Digest]
  }

  /// What goes wrong at one datanode.
  struct Faults: Sendable {
    /// Accepts a call and never answers.
    var isSilent = false
    /// Ends a transfer after so many pieces.
    var failsWriteAfter: Int?
    /// Ends a read after so many pieces.
    var failsReadAfter: Int?
    /// Flips a bit in what it sends.
    var sendsGarbage = false
    /// Refuses the next so many transfers as stale.
    var staleWrites = 0
  }

  struct State: Sendable {
    var files: [String: StoredFile] = [:]
    var uploads: [UInt64: (path: String, size: UInt32, nextIndex: UInt32, sealed: [WireSealedChunk])] = [:]
    var chunks: [UInt64: [String: StoredChunk]] = [:]
    var faults: [UInt64: Faults] = [:]
    var nextInode: UInt64 = 100
    var revision: UInt64 = 10
    var calls: [String: Int] = [:]
    var reports: [WireReplicaReport] = []
    var aborted: [UInt64] = []
    /// Indices that the next commit or seal rejects.
    var rejectOnce: Set<UInt32> = []
    /// Commits that find too few copies of sealed chunks.
    var delayedCommits = 0
    /// Mutations that are executed and then answered as unknown.
    var unknownAnswers = 0
    var results: [UInt64: Data] = [:]
    var unreachable: Set<UInt64> = []
  }

  let state = NIOLockedValueBox(State())
  let loops = NetworkLoops(count: 2)
  let chunkSize: Int
  let inlineLimit = 4096
  let nodeIDs: [UInt64]
  private let servers = NIOLockedValueBox<[RPCServer]>([])
  private let addresses = NIOLockedValueBox<[UInt64: Endpoint]>([:])
  private let coordinatorAddress = NIOLockedValueBox<Endpoint?>(nil)
  private let logger = Logger(label: "loopback")

  init(nodes: Int = 3, chunkSize: Int = 256 << 10) async throws {
    self.chunkSize = chunkSize
    nodeIDs = (1...UInt64(nodes)).map { $0 }
    for node in nodeIDs {
      let address = try await serve(datanodeRouter(node))
      addresses.withLockedValue { $0[node] = address }
    }
    let address = try await serve(coordinatorRouter())
    coordinatorAddress.withLockedValue { $0 = address }
  }

  private func serve(_ router: RPCRouter) async throws -> Endpoint {
    let configuration = RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)])
    let server = RPCServer(router: router, configuration: configuration, loops: loops, logger: logger)
    servers.withLockedValue { $0.append(server) }
    return try await server.start()[0]
  }

  func client(_ change: (inout ClientConfiguration) -> Void = { _ in }) throws -> DFSClient {
    var configuration = ClientConfiguration()
    configuration.patience = .seconds(5)
    configuration.stallTimeout = .milliseconds(300)
    configuration.writeStallTimeout = .milliseconds(600)
    change(&configuration)
    guard let address = coordinatorAddress.withLockedValue({ $0 }) else {
      throw DFSError(.internal, "not started")
    }
    return try DFSClient.connect(coordinators: [address], configuration: configuration)
  }

  func stop() async {
    for server in servers.withLockedValue({ $0 }) { await server.drain(grace: .zero) }
    await loops.shutdown()
  }

  func calls(_ name: String) -> Int { state.withLockedValue { $0.calls[name] ?? 0 } }

  /// One group of all nodes.
  private var group: WireGroup {
    var group = WireGroup()
    group.id = 1
    group.epoch = 1
    group.replicas = UInt32(nodeIDs.count)
    let unreachable = state.withLockedValue { $0.unreachable }
    group.slots = nodeIDs.map { node in
      var slot = WireSlot()
      slot.node = node
      slot.state = .full
      slot.reachable = !unreachable.contains(node)
      return slot
    }
    return group
  }

  private var nodes: [WireNodeAddress] {
    nodeIDs.compactMap { node in
      guard let endpoint = addresses.withLockedValue({ $0[node] }) else { return nil }
      var address = WireNodeAddress()
      address.node = node
      address.address = endpoint.description
      return address
    }
  }

  private func count(_ name: String) { state.withLockedValue { $0.calls[name, default: 0] += 1 } }

  // MARK: The coordinator

  private func coordinatorRouter() -> RPCRouter {
    var router = RPCRouter()
    router.handle(CoordinatorMethods.putInline) { [self] request, _ in
      count("putInline")
      var answer = WirePutInlineResponse()
      answer.attributes = store(
        request.path, request.attributes, length: request.content.count, root: request.root
      ) {
        $0.content = request.content
        $0.attributes.isInline = true
      }
      try answerUnknown()
      return answer
    }
    router.handle(CoordinatorMethods.beginUpload) { [self] request, _ in
      count("begin")
      return begin(request)
    }
    router.handle(CoordinatorMethods.allocateChunks) { [self] request, _ in
      count("allocate")
      var answer = WireAllocateChunksResponse()
      answer.allocations = [allocate(request.upload, request.chunks)]
      answer.groups = [group]
      answer.nodes = nodes
      return answer
    }
    router.handle(CoordinatorMethods.sealSegment) { [self] request, _ in
      count("seal")
      var answer = WireSealSegmentResponse()
      answer.rejectedIndices = rejected(request.chunks)
      if answer.rejectedIndices.isEmpty {
        state.withLockedValue { $0.uploads[request.upload]?.sealed += request.chunks }
      }
      return answer
    }
    router.handle(CoordinatorMethods.commitUpload) { [self] request, _ in
      count("commit")
      return try commit(request)
    }
    router.handle(CoordinatorMethods.abortUpload) { [self] request, _ in
      state.withLockedValue {
        $0.aborted.append(request.upload)
        $0.uploads[request.upload] = nil
      }
      return WireAbortUploadResponse()
    }
    router.handle(CoordinatorMethods.lookup) { [self] request, _ in
      count("lookup")
      return try lookup(request)
    }
    router.handle(CoordinatorMethods.getManifest) { [self] request, _ in
      count("manifest")
      let file = state.withLockedValue { $0.files.values.first { $0.attributes.inode == request.inode } }
      var answer = WireGetManifestResponse()
      answer.chunks = Array(
        (file?.chunks ?? []).dropFirst(Int(request.firstChunk)).prefix(Int(request.maxChunks)))
      return answer
    }
    router.handle(CoordinatorMethods.getGroups) { [self] _, _ in
      count("groups")
      var answer = WireGetGroupsResponse()
      answer.groups = [group]
      answer.nodes = nodes
      return answer
    }
    router.handle(CoordinatorMethods.reportReplicas) { [self] request, _ in
      state.withLockedValue { $0.reports += request.reports }
      return WireReportReplicasResponse()
    }
    router.handle(CoordinatorMethods.stat) { [self] request, _ in
      if request.path == "/" { return WireStatResponse.with { $0.revision = 1 } }
      guard let file = state.withLockedValue({ $0.files[request.path] }) else {
        throw DFSError(.notFound, "\(request.path) does not exist", metadata: ["path": request.path])
      }
      return WireStatResponse.with { $0.attributes = file.attributes }
    }
    return router
  }

  private func answerUnknown() throws {
    let isUnknown = state.withLockedValue { state in
      guard state.unknownAnswers > 0 else { return false }
      state.unknownAnswers -= 1
      return true
    }
    if isUnknown { throw DFSError(.outcomeUnknown, "the answer was lost") }
  }

  private func begin(_ request: WireBeginUploadRequest) -> WireBeginUploadResponse {
    let upload = state.withLockedValue { state in
      state.nextInode += 1
      state.uploads[state.nextInode] = (
        request.path, request.chunkSize == 0 ? UInt32(chunkSize) : request.chunkSize, 0, []
      )
      return state.nextInode
    }
    var answer = WireBeginUploadResponse()
    answer.upload = upload
    answer.chunkSize = request.chunkSize == 0 ? UInt32(chunkSize) : request.chunkSize
    answer.replicas = UInt32(nodeIDs.count)
    answer.leaseMs = 60_000
    answer.allocations = [allocate(upload, request.chunks)]
    answer.groups = [group]
    answer.nodes = nodes
    answer.inlineLimit = UInt32(inlineLimit)
    answer.revision = 11
    return answer
  }

  private func allocate(_ upload: UInt64, _ count: UInt32) -> WireAllocation {
    state.withLockedValue { state in
      var allocation = WireAllocation()
      allocation.firstIndex = state.uploads[upload]?.nextIndex ?? 0
      allocation.count = count
      allocation.group = 1
      state.uploads[upload]?.nextIndex += count
      return allocation
    }
  }

  private func rejected(_ chunks: [WireSealedChunk]) -> [UInt32] {
    state.withLockedValue { state in
      let rejected = chunks.map(\.reference.index).filter { state.rejectOnce.contains($0) }
      state.rejectOnce.subtract(rejected)
      return rejected
    }
  }

  private func commit(_ request: WireCommitUploadRequest) throws -> WireCommitUploadResponse {
    let isDelayed = state.withLockedValue { state in
      defer { state.delayedCommits = max(0, state.delayedCommits - 1) }
      return state.delayedCommits > 0
    }
    if isDelayed { throw DFSError.tooFewCopies("group 1 has 1 copy", metadata: ["segment": "0"]) }
    var answer = WireCommitUploadResponse()
    answer.rejectedIndices = rejected(request.lastSegment)
    guard answer.rejectedIndices.isEmpty else { return answer }
    guard let upload = state.withLockedValue({ $0.uploads.removeValue(forKey: request.upload) }) else {
      // The same request again: the result of the first.
      let known = state.withLockedValue { $0.files.values.first { $0.attributes.inode == request.upload } }
      guard let known else { throw DFSError(.notFound, "no such upload") }
      answer.attributes = known.attributes
      return answer
    }
    let chunks = (upload.sealed + request.lastSegment).map(\.reference)
    guard chunks.count == Int(request.chunkCount),
      MerkleTree.root(of: try chunks.map { try Digest(wire: $0.root, "root") }).wire == request.root
    else { throw DFSError(.invalidArgument, "the commit does not fit its chunks") }
    answer.attributes = store(
      upload.path, request.attributes, length: Int(request.length), root: request.root, inode: request.upload
    ) {
      $0.chunks = chunks
      $0.attributes.chunkSize = upload.size
      $0.attributes.chunkCount = request.chunkCount
    }
    try answerUnknown()
    return answer
  }

  private func store(
    _ path: String, _ new: WireNewAttributes, length: Int, root: Data, inode: UInt64? = nil,
    _ fill: (inout StoredFile) -> Void
  ) -> WireAttributes {
    state.withLockedValue { state in
      state.nextInode += 1
      state.revision += 1
      var file = StoredFile(attributes: WireAttributes())
      file.attributes.inode = inode ?? state.nextInode
      file.attributes.type = .file
      file.attributes.length = UInt64(length)
      file.attributes.mode = new.mode == 0 ? 0o644 : new.mode
      file.attributes.modifiedNs = new.modifiedNs
      file.attributes.revision = state.revision
      file.attributes.replicas = UInt32(nodeIDs.count)
      file.attributes.root = root
      file.attributes.rootKind = .canonical
      fill(&file)
      state.files[path] = file
      return file.attributes
    }
  }

  private func lookup(_ request: WireLookupRequest) throws -> WireLookupResponse {
    guard let file = state.withLockedValue({ $0.files[request.path] }) else {
      throw DFSError(.notFound, "\(request.path) does not exist", metadata: ["path": request.path])
    }
    var answer = WireLookupResponse()
    answer.attributes = file.attributes
    answer.content = file.content
    answer.chunks = Array(file.chunks.prefix(Int(request.maxChunks)))
    answer.groups = [group]
    answer.nodes = nodes
    answer.revision = file.attributes.revision
    answer.validMs = 60_000
    return answer
  }

  /// A file of many equal chunks, without the work of uploading it.
  func install(_ path: String, repeating bytes: [UInt8], count: Int) throws {
    let stored = StoredChunk(
      bytes: ByteBuffer(bytes: bytes), leaves: bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) })
    let root = MerkleTree.root(of: stored.leaves)
    var new = WireNewAttributes()
    new.mode = 0o644
    let fileRoot = MerkleTree.root(of: repeatElement(root, count: count))
    let attributes = store(path, new, length: bytes.count * count, root: fileRoot.wire) { file in
      file.attributes.chunkSize = UInt32(bytes.count)
      file.attributes.chunkCount = UInt64(count)
      file.chunks = (0..<count).map { index in
        .with {
          $0.index = UInt32(index)
          $0.length = UInt32(bytes.count)
          $0.group = 1
          $0.root = root.wire
        }
      }
    }
    state.withLockedValue { state in
      for index in 0..<count {
        let id = ChunkID(inode: InodeID(rawValue: attributes.inode), index: UInt32(index))
        state.chunks[1, default: [:]][id.description] = stored
      }
    }
  }

  // MARK: The datanodes

  private func faults(_ node: UInt64) -> Faults { state.withLockedValue { $0.faults[node] ?? Faults() } }

  private func datanodeRouter(_ node: UInt64) -> RPCRouter {
    var router = RPCRouter()
    router.handle(DataNodeMethods.writeChunk) { [self] reader, writer, _ in
      count("write")
      try await receive(node, reader, writer)
    }
    router.handle(DataNodeMethods.readChunk) { [self] request, writer, _ in
      count("read")
      try await send(node, request, writer)
    }
    return router
  }

  private func receive(
    _ node: UInt64, _ reader: MessageReader<WriteChunkPart>, _ writer: MessageWriter<WireWriteChunkResponse>
  ) async throws {
    guard case .open(let open)? = try await reader.next() else { throw DFSError(.invalidArgument, "no open") }
    let faults = faults(node)
    if faults.isSilent { try await Task.sleep(for: .seconds(600)) }
    if faults.staleWrites > 0 {
      state.withLockedValue { $0.faults[node]?.staleWrites -= 1 }
      throw DFSError(.stale, "the group has another epoch")
    }
    var bytes = ByteBuffer()
    var leaves: [Digest] = []
    var pieces = 0
    while let part = try await reader.next() {
      switch part {
      case .open: throw DFSError(.invalidArgument, "opened twice")
      case .data(let piece):
        guard case .bytes(let payload) = piece.payload, Int(piece.offset) == bytes.readableBytes else {
          throw DFSError(.invalidArgument, "out of order")
        }
        pieces += 1
        if let limit = faults.failsWriteAfter, pieces > limit {
          throw DFSError(.unavailable, "the disk is gone")
        }
        bytes.writeImmutableBuffer(payload)
        leaves += piece.leaves.digests
        try await writer.write(WireWriteChunkResponse.with { $0.received = UInt32(bytes.readableBytes) })
      case .finish(let finish):
        guard finish.root == MerkleTree.root(of: leaves).wire,
          leaves == bytes.withUnsafeReadableBytes({ MerkleTree.leaves(of: $0) })
        else { throw DFSError(.corrupt, "the root does not fit") }
        try await writer.write(WireWriteChunkResponse.with { $0.result = keep(node, open, bytes, leaves) })
        return
      }
    }
  }

  /// Stores on this node and on those it forwards to, unless they are to fail.
  private func keep(_ node: UInt64, _ open: WireWriteChunkOpen, _ bytes: ByteBuffer, _ leaves: [Digest])
    -> WireWriteChunkResult
  {
    state.withLockedValue { state in
      var result = WireWriteChunkResult()
      for member in [node] + open.forwardTo.map(\.node) {
        if member != node, let faults = state.faults[member], faults.isSilent || faults.failsWriteAfter != nil
        {
          result.failures.append(.with { $0.node = member })
          continue
        }
        state.chunks[member, default: [:]][ChunkID(open.chunk).description] = StoredChunk(
          bytes: bytes, leaves: leaves)
        result.receipts.append(.with { $0.node = member })
      }
      return result
    }
  }

  private func send(
    _ node: UInt64, _ request: WireReadChunkRequest, _ writer: MessageWriter<ReadChunkPart>
  ) async throws {
    let faults = faults(node)
    if faults.isSilent { try await Task.sleep(for: .seconds(600)) }
    guard let chunk = state.withLockedValue({ $0.chunks[node]?[ChunkID(request.chunk).description] }) else {
      throw DFSError(.notFound, "chunk \(ChunkID(request.chunk)) is not here")
    }
    var header = WireReadChunkHeader()
    header.length = UInt32(chunk.bytes.readableBytes)
    if !request.withoutLeaves { header.leaves = chunk.leaves.reduce(into: Data()) { $0.append($1.wire) } }
    try await writer.write(.header(header))
    let end = min(
      chunk.bytes.readableBytes, request.length == 0 ? .max : Int(request.offset + request.length))
    var offset = Int(request.offset) / Block.size * Block.size
    var pieces = 0
    while offset < end {
      if let limit = faults.failsReadAfter, pieces >= limit {
        throw DFSError(.unavailable, "the disk is gone")
      }
      let count = min(Block.size, chunk.bytes.readableBytes - offset)
      var payload = chunk.bytes.getSlice(at: offset, length: count) ?? ByteBuffer()
      if faults.sendsGarbage {
        payload.setInteger(
          payload.getInteger(at: payload.readerIndex, as: UInt8.self)! ^ 1, at: payload.readerIndex)
      }
      try await writer.write(
        .data(
          ChunkPiece(offset: UInt32(offset), checksums: [0], leaves: ByteBuffer(), payload: .bytes(payload))))
      offset += count
      pieces += 1
    }
  }
}
