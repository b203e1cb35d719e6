package import DFSCore
import DFSMetadata
import DFSRPC
import DFSWire

/// Orders a datanode to forget chunks, under this coordinator's epoch.
package struct ReapOrders: Sendable {
  private let epoch: Epoch
  private let channels: NodeChannels

  package init(epoch: Epoch, channels: NodeChannels) {
    self.epoch = epoch
    self.channels = channels
  }

  /// Returns the bytes that were freed once all of `runs` are gone from the node. With `groupEpoch` the node
  /// refuses when it knows a later one of the group: for copies on a node that is no member.
  package func send(
    _ runs: [ReapPlan.Run], to node: NodeID, groupEpoch: GroupEpoch? = nil
  ) async throws -> UInt64 {
    let channel = try channels.channel(to: node)
    var request = WireReapChunksRequest()
    request.epoch = WireEpoch(epoch)
    request.node = node.rawValue
    request.chunks = runs.map { run in
      var wire = WireReapedChunks()
      wire.inode = run.inode.rawValue
      wire.group = run.group.rawValue
      wire.firstIndex = run.first
      wire.count = run.count
      wire.groupEpoch = groupEpoch?.rawValue ?? 0
      return wire
    }
    let options = CallOptions(timeout: .seconds(30))
    return try await channel.call(DataNodeMethods.reapChunks, request, options: options).removedBytes
  }
}
