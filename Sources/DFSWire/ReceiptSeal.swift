package import DFSCore

/// What a datanode proves with a receipt: this replica of this chunk is durable. The MAC is HMAC-SHA256 over
/// `bytes` with the key that the coordinator issued to the node at registration.
package struct ReceiptSeal: Hashable, Sendable {
  package var chunk: ChunkID
  package var length: UInt32
  package var root: Digest
  package var group: GroupID
  package var groupEpoch: GroupEpoch
  package var node: NodeID
  package var store: StoreID

  package init(
    chunk: ChunkID, length: UInt32, root: Digest, group: GroupID, groupEpoch: GroupEpoch, node: NodeID,
    store: StoreID
  ) {
    self.chunk = chunk
    self.length = length
    self.root = root
    self.group = group
    self.groupEpoch = groupEpoch
    self.node = node
    self.store = store
  }

  /// A tag with a version, then every field, big-endian and of fixed size: two different seals never have the
  /// same bytes.
  package var bytes: [UInt8] {
    var bytes = Array("dfs receipt 1".utf8)
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
    append(chunk.inode.rawValue)
    append(chunk.index)
    append(length)
    root.withUnsafeBytes { bytes.append(contentsOf: $0) }
    append(group.rawValue)
    append(groupEpoch.rawValue)
    append(node.rawValue)
    append(store.rawValue)
    return bytes
  }
}
