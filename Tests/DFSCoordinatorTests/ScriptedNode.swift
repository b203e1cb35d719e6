import DFSCore
import DFSCrypto
import DFSRPC
import DFSWire
import Foundation

/// A datanode that does what a test says: it speaks the protocol and stores nothing.
struct ScriptedNode: Sendable {
  var node: UInt64
  var store: UInt64
  var boot: UInt64 = 1
  var cluster: UInt64 = 0
  var address: String
  var zone = ""
  var free: UInt64 = 50 << 30
  var receiptKey: [UInt8] = []
  var epoch = Epoch.zero

  init(_ number: Int) {
    node = UInt64(number)
    store = UInt64(1000 + number)
    address = "127.0.0.1:\(20_000 + number)"
  }

  var id: NodeID { NodeID(rawValue: node) }

  var registration: WireRegisterNodeRequest {
    var request = WireRegisterNodeRequest()
    request.node = node
    request.store = store
    request.boot = boot
    request.cluster = cluster
    request.address = address
    request.zone = zone
    request.capacityBytes = 100 << 30
    request.highestEpoch = WireEpoch(epoch)
    request.protocolLowest = 1
    request.protocolHighest = 1
    request.version = "test"
    return request
  }

  var heartbeat: WireHeartbeatRequest {
    var request = WireHeartbeatRequest()
    request.node = node
    request.boot = boot
    request.sequence = 1
    request.capacityBytes = 100 << 30
    request.freeBytes = free
    request.writable = true
    return request
  }

  mutating func register(at scene: CoordinatorScene) async throws {
    let response = try await scene.call(CoordinatorMethods.registerNode, registration)
    cluster = response.cluster
    receiptKey = [UInt8](response.receiptKey)
    epoch = try Epoch(response.epoch)
  }

  /// One heartbeat on a stream of its own.
  @discardableResult
  func beat(at scene: CoordinatorScene) async throws -> WireHeartbeatResponse {
    try await beat(at: scene, heartbeat)
  }

  @discardableResult
  func beat(at scene: CoordinatorScene, _ request: WireHeartbeatRequest) async throws -> WireHeartbeatResponse
  {
    let options = CallOptions(timeout: .seconds(20))
    return try await scene.channel.call(CoordinatorMethods.heartbeat, options: options) { writer, reader in
      try await writer.write(request)
      guard let response = try await reader.next() else {
        throw DFSError(.unavailable, "the stream ended without an answer")
      }
      try await writer.finish()
      while try await reader.next() != nil {}
      return response
    }
  }

  /// What this node would sign after it has made a replica durable.
  func receipt(
    _ reference: WireChunkReference, of upload: UInt64, groupEpoch: UInt64, key: [UInt8]? = nil
  ) throws -> WireReceipt {
    let seal = ReceiptSeal(
      chunk: ChunkID(inode: InodeID(rawValue: upload), index: reference.index), length: reference.length,
      root: try Digest(wire: reference.root, "a root"), group: GroupID(rawValue: reference.group),
      groupEpoch: GroupEpoch(rawValue: groupEpoch), node: id, store: StoreID(rawValue: store))
    var receipt = WireReceipt()
    receipt.node = node
    receipt.store = store
    receipt.groupEpoch = groupEpoch
    receipt.mac = MessageAuthenticator(key: key ?? receiptKey).code(for: seal.bytes).wire
    return receipt
  }
}
