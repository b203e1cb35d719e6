import DFSCore
import DFSMetadata
import DFSRPC
import DFSTransport
import DFSWire
import NIOConcurrencyHelpers

@testable import DFSCoordinator

/// The server side of nodes that have the chunks a test gives them: they list them, verify them, and forget
/// them when ordered. They stand behind one address and obey as datanodes do.
final class ScriptedChunks: Sendable {
  struct State {
    /// By node and group.
    var chunks: [NodeID: [GroupID: [ChunkID: InventoryEntry]]] = [:]
    /// Copies whose bytes are bad.
    var bad: [NodeID: Set<ChunkID>] = [:]
    var silent: Set<NodeID> = []
    var epochs: [NodeID: [GroupID: GroupEpoch]] = [:]
    var removals: [(node: NodeID, chunk: ChunkID)] = []
    /// Chunks that were read to the last byte.
    var verified = 0
    var listings = 0
  }
  let state = NIOLockedValueBox(State())
  /// Called before a node answers, with what it is about to do.
  let interrupt = NIOLockedValueBox<@Sendable (Event) async throws -> Void>({ _ in })

  enum Event: Sendable, Hashable {
    case lists(NodeID, GroupID)
    case listed(NodeID, GroupID)
    case reaps(NodeID)
  }

  /// With the contents of scripted uploads, or with another root.
  func give(_ chunks: [ChunkID], of group: GroupID, to nodes: [NodeID], root: UInt8? = nil) {
    state.withLockedValue { state in
      for node in nodes {
        for chunk in chunks {
          state.chunks[node, default: [:]][group, default: [:]][chunk] = InventoryEntry(
            chunk: chunk, length: 65536,
            root: root.map(Self.root) ?? ScriptedUpload.root(ofChunk: chunk.index))
        }
      }
    }
  }

  func lose(_ chunks: [ChunkID], of group: GroupID, from node: NodeID) {
    state.withLockedValue { for chunk in chunks { $0.chunks[node]?[group]?[chunk] = nil } }
  }

  func has(_ node: NodeID, _ group: GroupID) -> Set<ChunkID> {
    state.withLockedValue { Set(($0.chunks[node]?[group] ?? [:]).keys) }
  }

  static func root(_ byte: UInt8) -> Digest {
    withUnsafeBytes(of: (UInt64(byte), UInt64(0), UInt64(0), UInt64(0))) { Digest(loading: $0) }
  }

  /// Serves them all on one port while `body` runs.
  func serve(_ body: (_ address: String) async throws -> Void) async throws {
    var router = RPCRouter()
    router.handle(DataNodeMethods.listChunks) { request, _ in try await self.list(request) }
    router.handle(DataNodeMethods.listGroups) { request, _ in try self.groups(request) }
    router.handle(DataNodeMethods.reapChunks) { request, _ in try await self.reap(request) }
    let loops = NetworkLoops(count: 1)
    let server = RPCServer(
      router: router, configuration: RPCServer.Configuration(listen: [Endpoint(host: "127.0.0.1", port: 0)]),
      loops: loops, logger: CoordinatorScene.silence)
    let endpoints = try await server.start()
    let result: Result<Void, any Error>
    do { result = .success(try await body(endpoints[0].description)) } catch { result = .failure(error) }
    await server.drain(grace: .zero)
    await loops.shutdown()
    try result.get()
  }

  private func list(_ request: WireListChunksRequest) async throws -> WireListChunksResponse {
    let (node, group) = (NodeID(rawValue: request.node), GroupID(rawValue: request.group))
    try await interrupt.withLockedValue { $0 }(.lists(node, group))
    let page: (entries: [InventoryEntry], more: Bool) = try state.withLockedValue { state in
      guard !state.silent.contains(node) else { throw DFSError(.unavailable, "silent as asked") }
      state.listings += 1
      if request.hasEpoch {
        try state.obey(node, group, at: GroupEpoch(rawValue: request.groupEpoch))
        state.epochs[node, default: [:]][group] = GroupEpoch(rawValue: request.groupEpoch)
      }
      let after = request.hasAfter ? ChunkID(request.after) : nil
      let all = (state.chunks[node]?[group] ?? [:]).values.sorted { $0.chunk < $1.chunk }
        .filter { entry in after.map { entry.chunk > $0 } ?? true }
      var entries = Array(all.prefix(Int(request.pageSize)))
      let more = entries.count < all.count
      if request.verify {
        state.verified += entries.count
        let bad = entries.filter { state.bad[node]?.contains($0.chunk) == true }
        for entry in bad { state.chunks[node]?[group]?[entry.chunk] = nil }
        entries.removeAll { bad.contains($0) }
      }
      return (entries, more)
    }
    try await interrupt.withLockedValue { $0 }(.listed(node, group))
    var response = WireListChunksResponse()
    response.more = page.more
    response.chunks = page.entries.map { entry in
      var listed = WireListedChunk()
      listed.chunk = WireChunkId(entry.chunk)
      listed.length = entry.length
      listed.root = entry.root.wire
      return listed
    }
    return response
  }

  private func groups(_ request: WireListGroupsRequest) throws -> WireListGroupsResponse {
    try state.withLockedValue { state in
      let node = NodeID(rawValue: request.node)
      guard !state.silent.contains(node) else { throw DFSError(.unavailable, "silent as asked") }
      let all = (state.chunks[node] ?? [:]).filter { !$0.value.isEmpty }.keys.map(\.rawValue).sorted()
      var response = WireListGroupsResponse()
      // One a page, so that paging is tried.
      response.groups = Array(all.filter { !request.hasAfter || $0 > request.after }.prefix(1))
      response.more = response.groups.last.map { $0 < all[all.count - 1] } ?? false
      return response
    }
  }

  private func reap(_ request: WireReapChunksRequest) async throws -> WireReapChunksResponse {
    let node = NodeID(rawValue: request.node)
    try await interrupt.withLockedValue { $0 }(.reaps(node))
    return try state.withLockedValue { state in
      guard !state.silent.contains(node) else { throw DFSError(.unavailable, "silent as asked") }
      var response = WireReapChunksResponse()
      for run in request.chunks {
        let group = GroupID(rawValue: run.group)
        if run.groupEpoch != 0 { try state.obey(node, group, at: GroupEpoch(rawValue: run.groupEpoch)) }
        for index in run.firstIndex..<run.firstIndex + run.count {
          let chunk = ChunkID(inode: InodeID(rawValue: run.inode), index: index)
          guard state.chunks[node]?[group]?.removeValue(forKey: chunk) != nil else { continue }
          state.removals.append((node, chunk))
          response.removed += 1
        }
      }
      return response
    }
  }
}

extension ScriptedChunks.State {
  fileprivate func obey(_ node: NodeID, _ group: GroupID, at epoch: GroupEpoch) throws {
    guard let known = epochs[node]?[group], known > epoch else { return }
    throw DFSError(.stale, "group \(group) is at epoch \(known)")
  }
}
