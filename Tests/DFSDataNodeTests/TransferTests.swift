import DFSCore
import DFSWire
import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import DFSDataNode

@Suite(.timeLimit(.minutes(1))) struct TransferTests {
  private static let nodes = (1...3).map { NodeID(rawValue: $0) }

  private static func transfer(window: Int = 4 << 20, clock: ManualClock = ManualClock()) -> Transfer {
    Transfer(
      chunk: ChunkID(inode: InodeID(rawValue: 1), index: 0), members: nodes, patience: .init(),
      clock: .manual(clock)
    ) { window }
  }

  @Test func `every member gets every frame once, in order`() async throws {
    let transfer = Self.transfer()
    let pieces = ChunkSample(length: 3 << 20, seed: 60).pieces()
    for piece in pieces.prefix(2) { try await transfer.accept(piece) }
    func offsets(_ parts: [Transfer.Part]?) -> [UInt32] {
      (parts ?? []).compactMap { if case .data(let piece) = $0 { piece.offset } else { nil } }
    }
    for member in 0..<3 { #expect(offsets(transfer.partsAtHand(for: member)) == [0, 1 << 20]) }
    #expect(transfer.partsAtHand(for: 0).isEmpty)
    try await transfer.accept(pieces[2])
    transfer.finish(.init())
    for member in 0..<3 {
      let parts = await transfer.parts(for: member)
      #expect(parts?.count == 2)
      #expect(offsets(parts) == [2 << 20])
    }
  }

  @Test func `the sender waits for the slowest member when the window is full`() async throws {
    let transfer = Self.transfer(window: 2 << 20)
    let pieces = ChunkSample(length: 4 << 20, seed: 61).pieces()
    try await transfer.accept(pieces[0])
    let blocked = Task { try await transfer.accept(pieces[1]) }
    let isThrough = NIOLockedValueBox(false)
    let watching = Task {
      try await blocked.value
      isThrough.withLockedValue { $0 = true }
    }
    while transfer.partsAtHand(for: 2).isEmpty { await Task.yield() }
    for member in 0..<2 { transfer.progress(member, to: 1 << 20) }
    for _ in 0..<100 { await Task.yield() }
    #expect(!isThrough.withLockedValue { $0 })
    transfer.progress(2, to: 1 << 20)
    try await watching.value
  }

  @Test func `a member that leaves wakes everyone who waits for it`() async throws {
    let transfer = Self.transfer()
    let left = Task { await transfer.departure(of: 1) }
    let parts = Task { await transfer.parts(for: 1) }
    for _ in 0..<20 { await Task.yield() }
    transfer.fail(1, DFSError(.unavailable, "gone"))
    await left.value
    #expect(await parts.value == nil)
    transfer.fail(2, DFSError(.exhausted, "full"))
    let error = await #expect(throws: DFSError.self) { _ = try await transfer.news() }
    #expect(error?.code == .exhausted)
  }

  @Test func `the end wakes everyone, and the first reason stays`() async throws {
    let transfer = Self.transfer()
    let news = Task { try await transfer.news() }
    let parts = Task { await transfer.parts(for: 0) }
    for _ in 0..<20 { await Task.yield() }
    transfer.end(DFSError(.cancelled, "first"))
    transfer.end(DFSError(.corrupt, "second"))
    let error = await #expect(throws: DFSError.self) { _ = try await news.value }
    #expect(error?.message == "first")
    #expect(await parts.value == nil)
    await #expect(throws: DFSError.self) {
      try await transfer.accept(ChunkSample(length: 10, seed: 62).pieces()[0])
    }
  }

  @Test func `a sign of life is told at each look at the clock, and a straggler is dropped by it`()
    async throws
  {
    let clock = ManualClock()
    let transfer = Self.transfer(clock: clock)
    let piece = ChunkSample(length: 10, seed: 63).pieces()[0]
    try await transfer.accept(piece)
    for member in 0..<2 { transfer.progress(member, to: 10) }
    var dropped: [NodeID] = []
    for _ in 0..<10 where dropped.isEmpty {
      clock.advance(by: .milliseconds(250))
      dropped = transfer.tick()
      guard case .received = try await transfer.news() else { Issue.record("no sign of life"); return }
    }
    #expect(dropped == [Self.nodes[2]])
  }
}
