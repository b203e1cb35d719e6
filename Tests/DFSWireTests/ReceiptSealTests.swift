import DFSCore
import Testing

@testable import DFSWire

@Suite struct `Receipt seal` {
  @Test func `a change of any field changes the bytes`() throws {
    let root = try #require(Digest(Array(repeating: 1, count: 32)))
    let other = try #require(Digest(Array(repeating: 2, count: 32)))
    let seal = ReceiptSeal(
      chunk: ChunkID(inode: InodeID(rawValue: 1), index: 2), length: 3, root: root,
      group: GroupID(rawValue: 4),
      groupEpoch: GroupEpoch(rawValue: 5), node: NodeID(rawValue: 6), store: StoreID(rawValue: 7))
    var variants = [seal]
    func vary(_ change: (inout ReceiptSeal) -> Void) {
      var variant = seal
      change(&variant)
      variants.append(variant)
    }
    vary { $0.chunk.inode = InodeID(rawValue: 9) }
    vary { $0.chunk.index = 9 }
    vary { $0.length = 9 }
    vary { $0.root = other }
    vary { $0.group = GroupID(rawValue: 9) }
    vary { $0.groupEpoch = GroupEpoch(rawValue: 9) }
    vary { $0.node = NodeID(rawValue: 9) }
    vary { $0.store = StoreID(rawValue: 9) }
    #expect(Set(variants.map(\.bytes)).count == variants.count)
    #expect(Set(variants.map(\.bytes.count)).count == 1)
  }
}
