import DFSCore
import DFSMetadata
import DFSWire
import Foundation

extension CoordinatorService {
  /// The one version of the protocol that there is.
  static let protocolVersion: UInt32 = 1

  func registerNode(_ request: WireRegisterNodeRequest) async throws -> WireRegisterNodeResponse {
    do {
      let response = try await register(try Registration(request), request)
      cluster.withState { $0.refused.accepted(request.address) }
      return response
    } catch let error as DFSError {
      // Whatever a stranger sends is not told at full length.
      let (address, reason) = (String(request.address.prefix(300)), String(error.message.prefix(500)))
      logger.warning(
        "registration refused",
        metadata: [
          "node": "\(NodeID(rawValue: request.node))", "address": "\(address)", "error": "\(reason)",
        ])
      if error.isForPerson { cluster.withState { $0.refused.refused(address, reason, now: now()) } }
      throw error
    }
  }

  private func register(
    _ registration: Registration, _ request: WireRegisterNodeRequest
  ) async throws -> WireRegisterNodeResponse {
    guard request.protocolLowest <= Self.protocolVersion, request.protocolHighest >= Self.protocolVersion
    else {
      throw DFSError(
        .failedPrecondition,
        """
        the node speaks protocol \(request.protocolLowest) to \(request.protocolHighest), this coordinator \
        \(Self.protocolVersion): update the older one
        """, metadata: ["refusal": "protocol"])
    }
    let record = try await registrar.register(registration, now: now())
    if request.lostChunks {
      let slots = cluster.withState { $0.table.groups(of: record.id) }
      try await groups.markBehind(record.id, slots, because: "it lost chunks as a whole")
    }
    var response = WireRegisterNodeResponse()
    response.cluster = namespace.cluster.rawValue
    response.epoch = WireEpoch(namespace.epoch)
    response.revision = namespace.revision.rawValue
    response.receiptKey = Data(ReceiptKey.derive(from: record, boot: record.boot))
    response.heartbeatMs = UInt64(configuration.membership.heartbeat.milliseconds)
    response.leaseMs = UInt64(configuration.membership.lease.milliseconds)
    response.protocol = Self.protocolVersion
    return response
  }
}

extension DFSError {
  /// Whether a node that registers again and again will be refused until a person has done something.
  fileprivate var isForPerson: Bool {
    switch code {
    case .failedPrecondition, .invalidArgument: true
    default: metadata["refusal"] != nil
    }
  }
}

extension Registration {
  init(_ wire: WireRegisterNodeRequest) throws {
    guard wire.node != 0, wire.store != 0, wire.boot != 0 else {
      throw DFSError(.invalidArgument, "a node registers with a node id, a store id and a boot id")
    }
    guard wire.zone.utf8.count <= Limits.zoneBytes else {
      throw DFSError(.invalidArgument, "a zone's name has at most \(Limits.zoneBytes) bytes")
    }
    guard wire.address.utf8.count <= 300, wire.disk.utf8.count <= 300, wire.version.utf8.count <= 100 else {
      throw DFSError(.invalidArgument, "the address, disk or version of node \(wire.node) is too long")
    }
    let address = try Endpoint(wire.address)
    guard address.port != 0 else {
      throw DFSError(.invalidArgument, "node \(NodeID(rawValue: wire.node)) gives port 0 as its address")
    }
    self.init(
      node: NodeID(rawValue: wire.node), store: StoreID(rawValue: wire.store),
      boot: BootID(rawValue: wire.boot),
      cluster: wire.cluster == 0 ? nil : ClusterID(rawValue: wire.cluster), address: address, zone: wire.zone,
      capacity: try byteCount(wire.capacityBytes), highestEpoch: try Epoch(wire.highestEpoch),
      highestRevision: Revision(rawValue: wire.highestRevision), disk: wire.disk, version: wire.version)
  }
}

/// Throws `.invalidArgument` for a number of bytes that no disk has.
func byteCount(_ wire: UInt64) throws -> ByteCount {
  guard wire <= 1 << 60 else { throw DFSError(.invalidArgument, "no disk has \(wire) bytes") }
  return ByteCount(rawValue: Int64(wire))
}
