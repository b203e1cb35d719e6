import DFSCore
import DFSCrypto
import TestSupport
import Testing

@Suite struct MerkleTreeTests {
  /// RFC 6962, section 2.1, as it is written there.
  private func reference(_ leaves: ArraySlice<Digest>) -> Digest {
    if leaves.isEmpty { return SHA256.hash([]) }
    if leaves.count == 1, let only = leaves.first { return only }
    var split = 1
    while split * 2 < leaves.count { split *= 2 }
    let middle = leaves.startIndex + split
    return SHA256.hash([0x01] + reference(leaves[..<middle]).bytes + reference(leaves[middle...]).bytes)
  }

  private func leaves(_ count: Int, _ generator: inout SeededGenerator) -> [Digest] {
    (0..<count).map { _ in SHA256.hash(generator.bytes(8)) }
  }

  @Test func `the root equals the RFC's definition for every count`() {
    var generator = SeededGenerator()
    for count in 0...70 {
      let leaves = leaves(count, &generator)
      #expect(
        MerkleTree.root(of: leaves) == reference(leaves[...]), "\(count) leaves, seed \(generator.seed)")
    }
  }

  @Test func `the known roots of RFC 6962's test data come out`() {
    // From the certificate transparency test vectors: leaves "", 00, 10, 2021, 3031, 40414243, …
    let data: [[UInt8]] = [
      [], [0x00], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43], Array(0x50...0x57),
      Array(0x60...0x6F),
    ]
    let roots = [
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    let leaves = data.map { bytes in bytes.withUnsafeBytes { MerkleTree.leaf($0) } }
    for (index, root) in roots.enumerated() {
      #expect(MerkleTree.root(of: leaves[...index]).description == root)
    }
    #expect(MerkleTree.emptyRoot.description.hasPrefix("e3b0c44298fc1c14"))
  }

  @Test func `the root over chunk roots equals the root over leaves for any power of two`() {
    var generator = SeededGenerator()
    for _ in 0..<400 {
      let leaves = leaves(Int.random(in: 0...100, using: &generator), &generator)
      let perChunk = 1 << Int.random(in: 0...5, using: &generator)
      let roots = stride(from: 0, to: leaves.count, by: perChunk).map { start in
        MerkleTree.root(of: leaves[start..<min(start + perChunk, leaves.count)])
      }
      #expect(
        MerkleTree.root(of: roots) == MerkleTree.root(of: leaves),
        "\(leaves.count) leaves, \(perChunk) a chunk, seed \(generator.seed)")
    }
  }

  @Test func `a short chunk in the middle changes the root`() {
    var generator = SeededGenerator()
    let leaves = leaves(7, &generator)
    let roots = [leaves[0..<4], leaves[4..<5], leaves[5..<7]].map { MerkleTree.root(of: $0) }
    #expect(MerkleTree.root(of: roots) != MerkleTree.root(of: leaves))
  }

  @Test func `bytes in pieces of any length give leaves and root in one pass`() {
    var generator = SeededGenerator()
    for length in [0, 1, Block.size - 1, Block.size, Block.size + 1, 5 * Block.size + 77] {
      let bytes = [UInt8](repeating: UInt8.random(in: 0...255, using: &generator), count: length)
      var hasher = MerkleHasher()
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = rest.prefix(Int.random(in: 1...100_000, using: &generator))
        Array(piece).withUnsafeBytes { hasher.update($0) }
        rest = rest.dropFirst(piece.count)
      }
      let root = hasher.finish()
      let expected = bytes.withUnsafeBytes { MerkleTree.leaves(of: $0) }
      #expect(hasher.leaves == expected, "length \(length), seed \(generator.seed)")
      #expect(root == MerkleTree.root(of: expected))
      #expect(hasher.length == length)
      #expect(expected.count == Block.count(of: length))
    }
  }

  @Test func `a block is verified against its leaf`() {
    var block = [UInt8](repeating: 9, count: 1_000)
    let leaf = block.withUnsafeBytes { MerkleTree.leaf($0) }
    #expect(block.withUnsafeBytes { MerkleTree.verify($0, against: leaf) })
    block[500] ^= 1
    #expect(!block.withUnsafeBytes { MerkleTree.verify($0, against: leaf) })
  }
}
