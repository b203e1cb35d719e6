import DFSChunkStore
import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import DFSWire
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import TestSupport

@testable import DFSDataNode

/// Real datanodes in one process, with a scripted coordinator, over loopback.
actor NodeCluster {
  final class Node: Sendable {
    let id: NodeID
    let endpoint: Endpoint
    let directory: String
    let server: DataNodeServer
    let channel: RPCChannel
    let task: Task<Void, any Error>

    init(
      id: NodeID, endpoint: Endpoint, directory: String, server: DataNodeServer, channel: RPCChannel,
      task: Task<Void, any Error>
    ) {
      self.id = id
      self.endpoint = endpoint
      self.directory = directory
      self.server = server
      self.channel = channel
      self.task = task
    }

    var address: WireNodeAddress {
      .with {
        $0.node = id.rawValue
        $0.address = endpoint.description
      }
    }

    /// Orderly.
    func stop() async {
      server.stop()
      _ = try? await task.value
      await channel.close()
    }

    /// At once, as far as one process can.
    func kill() async {
      task.cancel()
      _ = try? await task.value
      await channel.close()
    }
  }

  nonisolated let loops = NetworkLoops(count: 2)
  nonisolated let directory: TemporaryDirectory
  nonisolated let logger: Logger
  private(set) var nodes: [Node] = []
  /// What clients encrypt with; nothing means plain.
  private nonisolated let clientSecurity: (any ChannelSecurity)?

  init(clientSecurity: (any ChannelSecurity)? = nil) throws {
    self.clientSecurity = clientSecurity
    directory = try TemporaryDirectory("dfs-datanode")
    var logger = Logger(label: "test")
    logger.logLevel = ProcessInfo.processInfo.environment["DFS_TEST_LOG"] == nil ? .critical : .debug
    self.logger = logger
  }

  /// Runs `body` with so many joined nodes, and stops everything whatever happens.
  static func with<Value: Sendable>(
    _ count: Int, change: @Sendable (inout DataNodeServer.Configuration) -> Void = { _ in },
    fileSystem: any FileSystem = PosixFileSystem(),
    _ body: (NodeCluster, ScriptedCoordinator) async throws -> Value
  ) async throws -> Value {
    let cluster = try NodeCluster()
    let coordinator = try await ScriptedCoordinator.start(loops: cluster.loops)
    do {
      for _ in 0..<count {
        let node = try await cluster.start([coordinator.endpoint], change: change, fileSystem: fileSystem)
        guard await node.server.joined() else { throw DFSError(.unavailable, "the node did not join") }
      }
      let value = try await body(cluster, coordinator)
      await cluster.stop(coordinator)
      return value
    } catch {
      await cluster.stop(coordinator)
      throw error
    }
  }

  func stop(_ coordinator: ScriptedCoordinator? = nil) async {
    for node in nodes { await node.kill() }
    await coordinator?.stop()
    await loops.shutdown()
  }

  /// Starts a node in a directory of its own, or again in the one given.
  @discardableResult
  func start(
    _ coordinators: [Endpoint], in path: String? = nil,
    change: @Sendable (inout DataNodeServer.Configuration) -> Void = { _ in },
    fileSystem: any FileSystem = PosixFileSystem()
  ) async throws -> Node {
    let path = path ?? "\(directory.path)/node-\(nodes.count)"
    var configuration = DataNodeServer.Configuration(
      directory: path, listen: Endpoint(host: "127.0.0.1", port: 0), coordinators: coordinators)
    configuration.reserve = .mib(1)
    configuration.heartbeatInterval = .milliseconds(50)
    configuration.drainGrace = .seconds(2)
    change(&configuration)
    let server = DataNodeServer(configuration, loops: loops, logger: logger, fileSystem: fileSystem)
    let endpoint = try await server.start()
    guard let id = server.identity else { throw DFSError(.internal, "a started node has an id") }
    let node = Node(
      id: id, endpoint: endpoint, directory: path, server: server, channel: channel(to: endpoint),
      task: Task { try await server.run() })
    nodes.append(node)
    return node
  }

  nonisolated func channel(to endpoint: Endpoint) -> RPCChannel {
    var configuration = RPCChannel.Configuration()
    configuration.security = clientSecurity
    return RPCChannel(endpoints: [endpoint], configuration: configuration, loops: loops, logger: logger)
  }
}

extension NodeCluster.Node {
  func opening(of sample: ChunkSample, to others: [WireNodeAddress] = [], epoch: UInt64 = 1)
    -> WireWriteChunkOpen
  {
    .with {
      $0.chunk = WireChunkId(sample.chunk)
      $0.group = 7
      $0.groupEpoch = epoch
      $0.maxLength = UInt32(max(8 << 20, sample.bytes.count))
      $0.length = UInt32(sample.bytes.count)
      $0.forwardTo = others
      $0.node = id.rawValue
    }
  }

  /// Writes a chunk as a client does; `change` may spoil what is sent.
  func write(
    _ sample: ChunkSample, to others: [WireNodeAddress] = [], epoch: UInt64 = 1, pieceSize: Int = 1 << 20,
    change: @Sendable (inout [WriteChunkPart]) -> Void = { _ in }
  ) async throws -> WireWriteChunkResult {
    var parts: [WriteChunkPart] = [.open(opening(of: sample, to: others, epoch: epoch))]
    parts += sample.pieces(of: pieceSize).map { .data($0) }
    parts.append(.finish(sample.finish))
    change(&parts)
    return try await send(parts)
  }

  /// Writes a chunk and counts its receipts.
  func receipts(for sample: ChunkSample, to others: [WireNodeAddress] = [], epoch: UInt64 = 1) async throws
    -> Int
  {
    try await write(sample, to: others, epoch: epoch).receipts.count
  }

  func send(_ parts: [WriteChunkPart]) async throws -> WireWriteChunkResult {
    try await channel.call(
      DataNodeMethods.writeChunk, options: .init(timeout: .seconds(30), waitForReady: true)
    ) {
      writer, reader in
      async let sending: Void = {
        for part in parts { try await writer.write(part) }
        try await writer.finish()
      }()
      while let answer = try await reader.next() {
        if case .result(let result)? = answer.part {
          _ = try? await sending
          return result
        }
      }
      throw DFSError(.unavailable, "no result")
    }
  }

  /// Reads as a client does: every block is compared with its leaf, the leaves with `root`.
  func read(
    _ sample: ChunkSample, offset: Int = 0, length: Int = 0, root: Digest? = nil, withoutLeaves: Bool = false
  ) async throws -> [UInt8] {
    let request = WireReadChunkRequest.with {
      $0.chunk = WireChunkId(sample.chunk)
      $0.group = 7
      $0.offset = UInt32(offset)
      $0.length = UInt32(length)
      $0.root = (root ?? sample.root).wire
      $0.withoutLeaves = withoutLeaves
      $0.node = id.rawValue
    }
    return try await channel.call(
      DataNodeMethods.readChunk, request, options: .init(timeout: .seconds(30), waitForReady: true)
    ) { reader in
      guard case .header(let header)? = try await reader.next() else {
        throw DFSError(.internal, "no header")
      }
      let leaves = withoutLeaves ? sample.leaves : ByteBuffer(bytes: header.leaves).digests
      guard MerkleTree.root(of: leaves) == sample.root else { throw DFSError(.corrupt, "leaves") }
      var bytes: [UInt8] = []
      while case .data(let piece)? = try await reader.next() {
        guard case .bytes(let payload) = piece.payload else { throw DFSError(.internal, "payload") }
        let part = Array(payload.readableBytesView)
        for (number, leaf) in part.withUnsafeBytes({ MerkleTree.leaves(of: $0) }).enumerated()
        where leaf != leaves[Int(piece.offset) / Block.size + number] {
          throw DFSError(.corrupt, "block \(number) of the piece at \(piece.offset)")
        }
        bytes += part
      }
      return bytes
    }
  }

  /// Takes the first piece of an answer, and no more until it is cancelled.
  func beginReading(_ sample: ChunkSample) async throws {
    let request = WireReadChunkRequest.with {
      $0.chunk = WireChunkId(sample.chunk)
      $0.group = 7
      $0.node = id.rawValue
    }
    try await channel.call(DataNodeMethods.readChunk, request) { reader in
      for _ in 0..<2 { _ = try await reader.next() }
      try await Task.sleep(for: .seconds(3600))
    }
  }

  func stat(_ sample: ChunkSample, verify: Bool = false) async throws -> WireStatChunkResponse {
    try await channel.call(
      DataNodeMethods.statChunk,
      .with {
        $0.chunk = WireChunkId(sample.chunk)
        $0.group = 7
        $0.verify = verify
      }, options: .init(timeout: .seconds(10), waitForReady: true))
  }

  /// Files below the data directory whose path contains `part`.
  func files(containing part: String) -> [String] {
    let found = FileManager.default.enumerator(atPath: directory)?.allObjects as? [String] ?? []
    return found.filter { path in
      var isDirectory: ObjCBool = false
      return path.contains(part)
        && FileManager.default.fileExists(atPath: "\(directory)/\(path)", isDirectory: &isDirectory)
        && !isDirectory.boolValue
    }
  }
}
