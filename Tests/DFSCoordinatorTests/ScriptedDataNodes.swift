import DFSCore
import DFSRPC
import DFSTransport
import DFSWire
import NIOConcurrencyHelpers

@testable import DFSCoordinator

/// The server side of scripted nodes: takes orders to reap and to copy, and says what a test wants of a
/// chunk. Replicas exist as length and root only.
final class ScriptedDataNodes: Sendable {
  struct Order: Sendable, Hashable {
    var node: UInt64
    var epoch: Epoch
    var inode: UInt64
    var group: UInt32
    var first: UInt32
    var count: UInt32
  }
  struct Copy: Sendable, Hashable {
    var node: UInt64
    var chunk: ChunkID
    var source: UInt64
  }
  struct Place: Hashable, Sendable {
    var node: UInt64
    var group: UInt32
  }
  typealias Replica = GroupInventory.Replica

  fileprivate struct State {
    var orders: [Order] = []
    var copies: [Copy] = []
    var lists = 0
    var refusing: Set<UInt64> = []
    var corrupt: Set<ChunkID> = []
    /// Bad copies that are listed as good ones until somebody has them read.
    var rotten: [UInt64: Set<ChunkID>] = [:]
    /// Reading takes for ever.
    var isStuck = false
    var looks = 0
    var replicas: [Place: [ChunkID: Replica]] = [:]
    var epochs: [Place: UInt64] = [:]
    /// Run once, before the next answer to an order to copy.
    var beforeCopies: (@Sendable () async throws -> Void)?
    /// Run once, before the next answer to the question for groups.
    var beforeGroupLists: (@Sendable () async throws -> Void)?
  }
  private let state = NIOLockedValueBox(State())

  var orders: [Order] { state.withLockedValue { $0.orders } }
  var copies: [Copy] { state.withLockedValue { $0.copies } }
  var looks: Int { state.withLockedValue { $0.looks } }
  var lists: Int { state.withLockedValue { $0.lists } }
  func refuse(_ nodes: Set<UInt64>) { state.withLockedValue { $0.refusing = nodes } }
  func spoil(_ chunk: ChunkID) { state.withLockedValue { _ = $0.corrupt.insert(chunk) } }
  func rot(_ chunk: ChunkID, on node: UInt64) {
    state.withLockedValue { _ = $0.rotten[node, default: []].insert(chunk) }
  }
  func stick(_ isStuck: Bool) { state.withLockedValue { $0.isStuck = isStuck } }
  func beforeCopies(_ body: @escaping @Sendable () async throws -> Void) {
    state.withLockedValue { $0.beforeCopies = body }
  }
  func beforeGroupLists(_ body: @escaping @Sendable () async throws -> Void) {
    state.withLockedValue { $0.beforeGroupLists = body }
  }

  func put(_ chunk: ChunkID, _ reference: WireChunkReference, on nodes: [ScriptedNode]) throws {
    let replica = Replica(
      length: reference.length, root: try Digest(wire: reference.root, "the root of a test's chunk"))
    state.withLockedValue { state in
      for node in nodes {
        state.replicas[Place(node: node.node, group: reference.group), default: [:]][chunk] = replica
      }
    }
  }

  func lose(_ chunk: ChunkID, on node: UInt64) {
    state.withLockedValue { state in
      for place in state.replicas.keys where place.node == node { state.replicas[place]?[chunk] = nil }
    }
  }

  /// Every chunk on the node.
  func chunks(on node: UInt64) -> Set<ChunkID> {
    state.withLockedValue { state in
      state.replicas.reduce(into: []) { if $1.key.node == node { $0.formUnion($1.value.keys) } }
    }
  }

  /// Serves them all on one port while `body` runs.
  func serve(_ body: (_ address: String) async throws -> Void) async throws {
    var router = RPCRouter()
    handleReports(&router)
    handleRepair(&router)
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

  private func handleReports(_ router: inout RPCRouter) {
    router.handle(DataNodeMethods.reapChunks) { [state] request, _ in
      try state.withLockedValue { state in
        guard !state.refusing.contains(request.node) else { throw DFSError(.unavailable, "refused as asked") }
        let epoch = try Epoch(request.epoch)
        state.orders += request.chunks.map {
          Order(
            node: request.node, epoch: epoch, inode: $0.inode, group: $0.group, first: $0.firstIndex,
            count: $0.count)
        }
        return WireReapChunksResponse()
      }
    }
    router.handle(DataNodeMethods.statChunk) { [state] request, _ in
      try state.withLockedValue { state in
        state.looks += 1
        let chunk = ChunkID(request.chunk)
        guard !state.isStuck else { throw DFSError(.deadlineExceeded, "stuck as asked") }
        if state.corrupt.contains(chunk) { throw DFSError(.corrupt, "spoilt as asked") }
        // The request names no node: the lowest that has the chunk stands for all.
        let places = state.replicas.filter { $0.key.group == request.group && $0.value[chunk] != nil }
        guard let (place, replicas) = places.min(by: { $0.key.node < $1.key.node }),
          let replica = replicas[chunk]
        else { throw DFSError(.notFound, "nobody has it") }
        guard !state.moveAside(chunk, at: place) else { throw DFSError(.corrupt, "rotten as asked") }
        return .with {
          $0.length = replica.length
          $0.root = replica.root.wire
        }
      }
    }
  }

  private func handleRepair(_ router: inout RPCRouter) {
    router.handle(DataNodeMethods.listChunks) { [state] request, _ in
      try state.withLockedValue { state in
        try state.obey(Place(node: request.node, group: request.group), at: request.groupEpoch)
        state.lists += 1
        let place = Place(node: request.node, group: request.group)
        if request.verify {
          for chunk in (state.replicas[place] ?? [:]).keys { _ = state.moveAside(chunk, at: place) }
        }
        let all = state.replicas[place] ?? [:]
        let rest = all.filter { !request.hasAfter || $0.key > ChunkID(request.after) }.sorted {
          $0.key < $1.key
        }
        var response = WireListChunksResponse()
        response.chunks = rest.prefix(Int(request.pageSize)).map { chunk, replica in
          var listed = WireListedChunk()
          listed.chunk = WireChunkId(chunk)
          listed.length = replica.length
          listed.root = replica.root.wire
          return listed
        }
        response.more = rest.count > response.chunks.count
        return response
      }
    }
    router.handle(DataNodeMethods.listGroups) { [state] request, _ in
      let hook = state.withLockedValue { state in
        defer { state.beforeGroupLists = nil }
        return state.beforeGroupLists
      }
      try await hook?()
      return try state.withLockedValue { state in
        guard !state.refusing.contains(request.node) else { throw DFSError(.unavailable, "refused as asked") }
        var response = WireListGroupsResponse()
        response.groups = state.replicas.filter { $0.key.node == request.node && !$0.value.isEmpty }
          .map(\.key.group).sorted()
        return response
      }
    }
    router.handle(DataNodeMethods.copyChunks) { [state] request, writer, _ in
      let hook = state.withLockedValue { state in
        defer { state.beforeCopies = nil }
        return state.beforeCopies
      }
      try await hook?()
      let answers = try state.withLockedValue { state in
        try state.obey(Place(node: request.node, group: request.group), at: request.groupEpoch)
        return try request.chunks.map { try state.copy($0, request) }
      }
      for answer in answers { try await writer.write(answer) }
    }
  }
}

extension ScriptedDataNodes.State {
  fileprivate mutating func obey(_ place: ScriptedDataNodes.Place, at epoch: UInt64) throws {
    guard !refusing.contains(place.node) else { throw DFSError(.unavailable, "refused as asked") }
    guard epoch >= epochs[place, default: 0] else { throw DFSError(.stale, "an older epoch") }
    epochs[place] = epoch
  }

  /// True when the copy there was rotten.
  fileprivate mutating func moveAside(_ chunk: ChunkID, at place: ScriptedDataNodes.Place) -> Bool {
    guard rotten[place.node]?.remove(chunk) != nil else { return false }
    replicas[place]?[chunk] = nil
    return true
  }

  fileprivate mutating func copy(
    _ wanted: WireChunkCopy, _ request: WireCopyChunksRequest
  ) throws -> WireCopyChunksResponse {
    let (chunk, place) = (
      ChunkID(wanted.chunk), ScriptedDataNodes.Place(node: request.node, group: request.group)
    )
    var answer = WireCopyChunksResponse()
    answer.chunk = wanted.chunk
    let root = try Digest(wire: wanted.root, "a root")
    if replicas[place]?[chunk]?.root == root { return answer }
    for source in wanted.sources.map({ request.sources[Int($0)].node }) where !refusing.contains(source) {
      let from = ScriptedDataNodes.Place(node: source, group: request.group)
      guard let replica = replicas[from]?[chunk], replica.root == root, !corrupt.contains(chunk) else {
        answer.badSources.append(source)
        continue
      }
      replicas[place, default: [:]][chunk] = replica
      copies.append(ScriptedDataNodes.Copy(node: request.node, chunk: chunk, source: source))
      answer.copiedBytes = UInt64(replica.length)
      return answer
    }
    answer.reason = DFSError.Code.unavailable.rawValue
    answer.message = "no source of chunk \(chunk) delivers"
    return answer
  }
}
