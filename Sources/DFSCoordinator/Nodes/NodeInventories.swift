package import DFSCore
import DFSMetadata
import DFSRPC
import DFSWire
import Foundation

/// One chunk that a node says it has.
package struct InventoryEntry: Sendable, Hashable {
  package var chunk: ChunkID
  package var length: UInt32
  package var root: Digest

  package init(chunk: ChunkID, length: UInt32, root: Digest) {
    self.chunk = chunk
    self.length = length
    self.root = root
  }
}

/// A page of what one node has of one group, in order of id.
package struct InventoryPage: Sendable, Hashable {
  package var entries: [InventoryEntry]
  /// More follow the last of these.
  package var more: Bool

  package init(entries: [InventoryEntry], more: Bool) {
    self.entries = entries
    self.more = more
  }
}

/// Asks datanodes what they have, as an order of this coordinator: the epoch of the group is durable on a
/// node, and transfers at older ones are refused, before it looks.
package struct NodeInventories: Sendable {
  /// Most entries of one page; fewer when the node reads every byte.
  package static let largestPage = 10_000
  package static let largestVerifiedPage = 256

  /// How much a node is to look at.
  package enum Depth: Sendable, Hashable {
    /// What it believes to have.
    case listed
    /// Every byte, against its hash: what is bad is moved aside, reported, and not in the page.
    case verified
  }

  private let epoch: Epoch
  private let channels: NodeChannels

  package init(epoch: Epoch, channels: NodeChannels) {
    self.epoch = epoch
    self.channels = channels
  }

  /// The next page after `after`, at most `limit` entries. Without an epoch, for a group that nobody knows,
  /// it is a question and no order. Throws `.unavailable` for a node whose answer makes no progress or is out
  /// of order.
  package func page(
    of group: GroupID, at groupEpoch: GroupEpoch?, on node: NodeID, after: ChunkID?, limit: Int = largestPage,
    depth: Depth = .listed
  ) async throws -> InventoryPage {
    var request = WireListChunksRequest()
    request.group = group.rawValue
    if let after { request.after = WireChunkId(after) }
    request.pageSize = UInt32(clamping: limit)
    if let groupEpoch {
      request.epoch = WireEpoch(epoch)
      request.groupEpoch = groupEpoch.rawValue
    }
    request.node = node.rawValue
    request.verify = depth == .verified
    // At 20 MB/s a page of chunks of 8 MiB takes two minutes to verify.
    let timeout: Duration = depth == .verified ? .seconds(10 + 4 * limit) : .seconds(30)
    let response = try await channels.channel(to: node).call(
      DataNodeMethods.listChunks, request, options: CallOptions(timeout: timeout))
    let entries = try response.chunks.map {
      InventoryEntry(
        chunk: ChunkID($0.chunk), length: $0.length, root: try Digest(wire: $0.root, "a listed chunk's root"))
    }
    var last = after
    for entry in entries {
      guard last.map({ $0 < entry.chunk }) ?? true else { throw Self.refuse(node, "is out of order") }
      last = entry.chunk
    }
    guard !response.more || !entries.isEmpty else { throw Self.refuse(node, "has no end") }
    return InventoryPage(entries: entries, more: response.more)
  }

  /// The groups of which the node has chunks, after `after`, in order; and whether more follow.
  package func groups(on node: NodeID, after: GroupID?) async throws -> (groups: [GroupID], more: Bool) {
    var request = WireListGroupsRequest()
    request.node = node.rawValue
    if let after { request.after = after.rawValue }
    let response = try await channels.channel(to: node).call(
      DataNodeMethods.listGroups, request, options: CallOptions(timeout: .seconds(30)))
    let groups = response.groups.map { GroupID(rawValue: $0) }
    guard !response.more || groups.last.map({ last in after.map { $0 < last } ?? true }) == true else {
      throw Self.refuse(node, "has no end")
    }
    return (groups, response.more)
  }

  private static func refuse(_ node: NodeID, _ why: String) -> DFSError {
    DFSError(.unavailable, "the inventory of node \(node) \(why): it is not what a datanode answers")
  }
}

extension NodeChannels {
  /// What the node has of the chunk, after it has read every byte of it. Throws `.corrupt` and `.notFound`; the node
  /// has moved a bad one aside then, where it can.
  func verified(_ chunk: ChunkID, of group: GroupID, on node: NodeID) async throws -> WireStatChunkResponse {
    var request = WireStatChunkRequest()
    request.chunk = WireChunkId(chunk)
    request.group = group.rawValue
    request.verify = true
    return try await channel(to: node).call(
      DataNodeMethods.statChunk, request, options: CallOptions(timeout: .seconds(20)))
  }
}
