package import DFSCore
import DFSCrypto
package import DFSMetadata
import DFSWire

/// The key with which one start of a datanode signs receipts: derived from the secret in the node's record,
/// so that a restarted coordinator gives the same key and still accepts what was signed with it.
package enum ReceiptKey {
  package static func derive(from record: ClusterNode, boot: BootID) -> [UInt8] {
    var message = Array("dfs receipt key 1".utf8)
    for number in [record.id.rawValue, record.store.rawValue, boot.rawValue] {
      withUnsafeBytes(of: number.bigEndian) { message.append(contentsOf: $0) }
    }
    return MessageAuthenticator(key: record.receiptKey).code(for: message).bytes
  }
}

/// One receipt as it came, its shape checked.
package struct ReceivedReceipt: Sendable {
  package var node: NodeID
  package var store: StoreID
  package var groupEpoch: GroupEpoch
  package var mac: Digest
}

/// One chunk that a client says is stored.
package struct ReceivedChunk: Sendable {
  package var reference: ChunkReference
  package var receipts: [ReceivedReceipt]
}

/// Checks receipts against the nodes that made them. A value for one call: it keeps the keys it has derived.
package struct ReceiptVerifier: Sendable {
  private let upload: UploadID
  private let members: [NodeID: Member]
  private var authenticators: [NodeID: [MessageAuthenticator]] = [:]
  /// Receipts that do not verify.
  package private(set) var refused = 0

  package init(upload: UploadID, members: [NodeID: Member]) {
    self.upload = upload
    self.members = members
  }

  /// The chunk with the nodes whose receipts are genuine. A bad receipt counts as a missing one.
  package mutating func verify(_ chunk: ReceivedChunk) -> StoredChunk {
    var holders: [StoredChunk.Holder] = []
    for receipt in chunk.receipts where !holders.contains(where: { $0.node == receipt.node }) {
      if isGenuine(receipt, chunk.reference) {
        holders.append(StoredChunk.Holder(node: receipt.node, epoch: receipt.groupEpoch))
      } else {
        refused += 1
      }
    }
    return StoredChunk(
      index: chunk.reference.index, length: chunk.reference.length, root: chunk.reference.root,
      holders: holders)
  }

  private mutating func isGenuine(_ receipt: ReceivedReceipt, _ reference: ChunkReference) -> Bool {
    guard let member = members[receipt.node], member.record.store == receipt.store else { return false }
    let seal = ReceiptSeal(
      chunk: ChunkID(inode: upload, index: reference.index), length: reference.length, root: reference.root,
      group: reference.group, groupEpoch: receipt.groupEpoch, node: receipt.node, store: receipt.store)
    let bytes = seal.bytes
    return keys(of: member).contains { $0.accepts(receipt.mac, for: bytes) }
  }

  private mutating func keys(of member: Member) -> [MessageAuthenticator] {
    if let known = authenticators[member.id] { return known }
    let made = member.trustedBoots.map {
      MessageAuthenticator(key: ReceiptKey.derive(from: member.record, boot: $0))
    }
    authenticators[member.id] = made
    return made
  }
}
