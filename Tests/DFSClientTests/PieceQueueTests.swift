import DFSCore
import NIOCore
import TestSupport
import Testing

@testable import DFSClient

struct PieceQueueTests {
  @Test func `everything put is taken in order, however small the queue`() async throws {
    let queue = PieceQueue(limit: 1)
    async let putting: Void = {
      for number in 0..<1000 { try await queue.put(ByteBuffer(integer: UInt32(number))) }
      queue.finish()
    }()
    var taken: [UInt32] = []
    while var piece = try await queue.next() {
      if let number = piece.readInteger(as: UInt32.self) { taken.append(number) }
    }
    try await putting
    #expect(taken == Array(0..<1000))
  }

  @Test func `what is queued comes before the error that ended it`() async throws {
    let queue = PieceQueue(limit: 100)
    try await queue.put(ByteBuffer(string: "a"))
    queue.finish(.failure(DFSError(.corrupt, "bad")))
    #expect(try await queue.next() != nil)
    await #expect(throws: DFSError.self) { try await queue.next() }
  }

  @Test func `a putter that waits is freed when the taker gives up`() async throws {
    let queue = PieceQueue(limit: 1)
    let putting = Task {
      while true { try await queue.put(ByteBuffer(string: "abc")) }
    }
    _ = try await queue.next()
    queue.cancel()
    await #expect(throws: CancellationError.self) { try await putting.value }
  }

  @Test func `a cancelled taker ends`() async throws {
    let queue = PieceQueue(limit: 1)
    let taking = Task { try await queue.next() }
    taking.cancel()
    await #expect(throws: CancellationError.self) { try await taking.value }
  }
}
