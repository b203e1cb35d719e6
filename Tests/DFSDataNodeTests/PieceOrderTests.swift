import DFSCore
import DFSWire
import NIOCore
import Testing

@testable import DFSDataNode

private func piece(at offset: Int, _ count: Int, leaves: Int? = nil) -> ChunkPiece {
  let blocks = Block.count(of: count)
  return ChunkPiece(
    offset: UInt32(offset), checksums: Array(repeating: 0, count: blocks),
    leaves: ByteBuffer(repeating: 1, count: (leaves ?? blocks) * Digest.byteCount),
    payload: .bytes(ByteBuffer(repeating: 7, count: count)))
}

private func finish(_ length: UInt32) -> WireWriteChunkFinish { .with { $0.length = length } }

@Suite struct PieceOrderTests {
  private var order = PieceOrder(
    chunk: ChunkID(inode: InodeID(rawValue: 1), index: 0), maxLength: 4 * Block.size)

  @Test mutating func `pieces that follow one another make a chunk, with a short end`() throws {
    try order.admit(piece(at: 0, 2 * Block.size))
    try order.admit(piece(at: 2 * Block.size, Block.size + 5))
    try order.check(finish(UInt32(3 * Block.size + 5)))
  }

  @Test mutating func `a hole, a repetition and a piece behind a short block are refused`() throws {
    #expect(throws: DFSError.self) { try order.admit(piece(at: Block.size, 10)) }
    try order.admit(piece(at: 0, Block.size))
    #expect(throws: DFSError.self) { try order.admit(piece(at: 0, Block.size)) }
    try order.admit(piece(at: Block.size, 10))
    #expect(throws: DFSError.self) { try order.admit(piece(at: Block.size + 10, 10)) }
  }

  @Test mutating func `a chunk longer than announced is refused`() throws {
    try order.admit(piece(at: 0, 4 * Block.size))
    #expect(throws: DFSError.self) { try order.admit(piece(at: 4 * Block.size, 1)) }
  }

  @Test mutating func `a writer's piece needs the leaf of each block`() {
    #expect(throws: DFSError.self) { try order.admit(piece(at: 0, Block.size, leaves: 0)) }
  }

  @Test mutating func `an empty chunk and a wrong length are refused`() throws {
    #expect(throws: DFSError.self) { try order.check(finish(0)) }
    try order.admit(piece(at: 0, 10))
    #expect(throws: DFSError.self) { try order.check(finish(11)) }
  }
}
