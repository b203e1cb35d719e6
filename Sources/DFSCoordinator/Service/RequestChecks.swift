import DFSCore
import DFSMetadata
import DFSWire
import Foundation

// What every operation checks of a request before it believes it.

/// Refuses a list that is longer than the protocol allows.
func check(_ count: Int, atMost limit: Int, _ what: String) throws {
  guard count <= limit else {
    throw DFSError(.invalidArgument, "at most \(limit) \(what) in one request, not \(count)")
  }
}

extension PlacementPolicy {
  /// The wanted replicas; `nil` for zero.
  static func wanted(_ replicas: UInt32) throws -> PlacementPolicy? {
    guard replicas != 0 else { return nil }
    guard replicas <= UInt32(Limits.mostReplicas) else {
      throw DFSError(
        .invalidArgument, "1 to \(Limits.mostReplicas) replicas can be asked for, not \(replicas)")
    }
    return PlacementPolicy(replicas: UInt8(replicas))
  }
}

extension WritePrecondition {
  init(_ wire: WirePrecondition) throws {
    switch wire.condition {
    case nil, .ifAbsent(false): self = .none
    case .ifAbsent(true): self = .ifAbsent
    case .ifRevision(let revision): self = .ifRevision(Revision(rawValue: revision))
    }
  }
}

func fileMode(_ wire: UInt32, standard: UInt16) throws -> UInt16 {
  guard wire <= 0o7777 else {
    throw DFSError(.invalidArgument, "mode \(String(wire, radix: 8)) has more than the permission bits 7777")
  }
  return wire == 0 ? standard : UInt16(wire)
}

extension FileAttributes {
  /// A time of zero stands for "now", which the round fills in: a retry has the same arguments.
  init(_ wire: WireNewAttributes) throws {
    guard wire.owner.utf8.count <= Limits.ownerBytes else {
      throw DFSError(.invalidArgument, "an owner's name has at most \(Limits.ownerBytes) bytes")
    }
    self.init(
      mode: try fileMode(wire.mode, standard: 0o644), modified: FileTime(rawValue: wire.modifiedNs),
      owner: wire.owner, user: wire.userAttributes.mapValues { [UInt8]($0) })
    try check(user.count, atMost: Limits.userAttributes, "user attributes")
    let bytes = user.reduce(0) { $0 + $1.key.utf8.count + $1.value.count }
    guard bytes <= Limits.userAttributeBytes else {
      throw DFSError(
        .invalidArgument, "user attributes take at most \(Limits.userAttributeBytes) bytes, not \(bytes)")
    }
  }

  static let unset = FileAttributes(mode: 0o644, modified: FileTime(rawValue: 0))
}

extension ReceivedChunk {
  init(_ wire: WireSealedChunk) throws {
    guard wire.hasReference else { throw DFSError(.invalidArgument, "a sealed chunk needs its reference") }
    let reference = wire.reference
    guard reference.length > 0, reference.length <= UInt32(ChunkSize.largest) else {
      throw DFSError(.invalidArgument, "chunk \(reference.index) can not have \(reference.length) bytes")
    }
    self.init(
      reference: ChunkReference(
        index: reference.index, group: GroupID(rawValue: reference.group), length: reference.length,
        root: try Digest(wire: reference.root, "the root of chunk \(reference.index)")),
      receipts: [])
    try check(wire.receipts.count, atMost: 2 * Int(Limits.mostReplicas), "receipts of a chunk")
    receipts = try wire.receipts.map { receipt in
      ReceivedReceipt(
        node: NodeID(rawValue: receipt.node), store: StoreID(rawValue: receipt.store),
        groupEpoch: GroupEpoch(rawValue: receipt.groupEpoch),
        mac: try Digest(wire: receipt.mac, "a receipt's MAC"))
    }
  }

  /// The chunks of one segment: at most 512, each index once.
  static func segment(_ wire: [WireSealedChunk]) throws -> [ReceivedChunk] {
    try check(wire.count, atMost: Limits.segmentChunks, "chunks")
    let chunks = try wire.map { try ReceivedChunk($0) }
    guard Set(chunks.map(\.reference.index)).count == chunks.count else {
      throw DFSError(.invalidArgument, "a segment names an index twice")
    }
    return chunks
  }
}

extension RequestID {
  /// The id of a step of a mutation, such as making the parents of a file: the same for every retry, and
  /// never that of the mutation itself.
  func step(_ number: UInt64) -> RequestID {
    RequestID(seen: seen, high: high ^ (0x9E37_79B9_7F4A_7C15 &* number), low: low)
  }
}
