import DFSCore
import DFSWire
import TestSupport
import Testing

@testable import DFSDataNode

private let start = ContinuousClock.now
private func at(_ milliseconds: Int) -> ContinuousClock.Instant {
  start.advanced(by: .milliseconds(milliseconds))
}

private func state(_ members: Int, patience: TransferState.Patience = .init()) -> TransferState {
  TransferState(
    chunk: ChunkID(inode: InodeID(rawValue: 7), index: 3),
    members: (1...UInt64(members)).map { NodeID(rawValue: $0) }, patience: patience, now: start)
}

private func receipt(_ node: UInt64) -> WireReceipt { .with { $0.node = node } }

extension TransferState.Verdict {
  fileprivate var isRunning: Bool { if case .running = self { true } else { false } }
  fileprivate var failure: DFSError? { if case .failed(let error) = self { error } else { nil } }
  fileprivate var receiptNodes: [UInt64]? {
    if case .complete(let receipts, _) = self { receipts.map(\.node) } else { nil }
  }
  fileprivate var failedNodes: [UInt64]? {
    if case .complete(_, let failures) = self { failures.map(\.node) } else { nil }
  }
}

@Suite struct TransferStateTests {
  @Test(arguments: [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
  func `a majority of the members is needed`(members: Int, needed: Int) {
    #expect(state(members).needed == needed)
  }

  @Test func `what is acknowledged is what the slowest member received`() {
    var transfer = state(3)
    transfer.receive(300, at: at(0))
    #expect(transfer.acknowledged == 0)
    transfer.progress(0, to: 300, at: at(1))
    transfer.progress(1, to: 200, at: at(1))
    #expect(transfer.acknowledged == 0)
    transfer.progress(2, to: 100, at: at(1))
    #expect(transfer.acknowledged == 100)
    transfer.fail(2, DFSError(.unavailable, "gone"))
    #expect(transfer.acknowledged == 200)
  }

  @Test func `it waits for every member even when enough are durable`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    transfer.finish(at: at(1))
    transfer.complete(0, with: receipt(1))
    transfer.complete(1, with: receipt(2))
    #expect(transfer.verdict.isRunning)
    transfer.complete(2, with: receipt(3))
    #expect(transfer.verdict.receiptNodes == [1, 2, 3])
    #expect(transfer.verdict.failedNodes == [])
  }

  @Test func `a silent member is dropped when its patience is over and enough others remain`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    for index in 0..<2 { transfer.progress(index, to: 10, at: at(5)) }
    var now = 0
    while now < 2400 {
      #expect(transfer.dropStragglers(at: at(now)) == [])
      now += 200
    }
    #expect(transfer.dropStragglers(at: at(2500)) == [2])
    #expect(transfer.acknowledged == 10)
    transfer.finish(at: at(2600))
    transfer.complete(0, with: receipt(1))
    transfer.complete(1, with: receipt(2))
    #expect(transfer.verdict.receiptNodes == [1, 2])
    #expect(transfer.verdict.failedNodes == [3])
  }

  @Test func `a member that nobody can replace gets longer, then the transfer fails`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    transfer.progress(0, to: 10, at: at(5))
    transfer.fail(1, DFSError(.unavailable, "connection refused"))
    for now in stride(from: 0, to: 5000, by: 200) { #expect(transfer.dropStragglers(at: at(now)) == []) }
    #expect(transfer.dropStragglers(at: at(5000)) == [2])
    let failure = transfer.verdict.failure
    #expect(failure?.code == .unavailable)
    #expect(failure?.metadata["failed_nodes"] == "0000000000000002,0000000000000003")
  }

  @Test func `a member that was silent a moment ago gets less time, unless the transfer needs it`() {
    let nodes = (1...3).map { NodeID(rawValue: $0) }
    var transfer = TransferState(
      chunk: ChunkID(inode: InodeID(rawValue: 7), index: 3), members: nodes, suspects: [nodes[2]],
      patience: .init(),
      now: start)
    transfer.receive(10, at: at(0))
    transfer.progress(0, to: 10, at: at(5))
    #expect(transfer.dropStragglers(at: at(490)) == [])
    var needed = transfer
    needed.fail(1, DFSError(.unavailable, "refused"))
    #expect(transfer.dropStragglers(at: at(500)) == [2])
    #expect(needed.dropStragglers(at: at(500)) == [])
  }

  @Test func `two silent members are not both dropped at once`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    transfer.progress(0, to: 10, at: at(5))
    for now in stride(from: 0, to: 2500, by: 500) { #expect(transfer.dropStragglers(at: at(now)) == []) }
    #expect(transfer.dropStragglers(at: at(2500)) == [1])
    #expect(transfer.verdict.isRunning)
  }

  @Test func `a sign of life keeps a member whose disk is slow, for a bounded time`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    transfer.finish(at: at(0))
    transfer.complete(0, with: receipt(1))
    transfer.complete(1, with: receipt(2))
    transfer.progress(2, to: 10, at: at(0))
    for now in stride(from: 0, to: 15_000, by: 500) {
      transfer.progress(2, to: 10, at: at(now))
      #expect(transfer.dropStragglers(at: at(now)) == [])
    }
    #expect(transfer.dropStragglers(at: at(15_000)) == [2])
    #expect(transfer.verdict.receiptNodes == [1, 2])
  }

  @Test func `a member that waits for the sender is not a straggler`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    for index in 0..<3 { transfer.progress(index, to: 10, at: at(10)) }
    for now in stride(from: 0, to: 20_000, by: 500) { #expect(transfer.dropStragglers(at: at(now)) == []) }
    #expect(!transfer.senderIsGone(at: at(29_900)))
    #expect(transfer.senderIsGone(at: at(30_001)))
  }

  @Test func `a sender who is kept waiting is not gone`() {
    var transfer = state(1)
    transfer.receive(10, at: at(0))
    #expect(!transfer.senderIsGone(at: at(60_000)))
  }

  @Test func `time in which this process stood still counts for nobody`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    #expect(transfer.dropStragglers(at: at(250)) == [])
    #expect(transfer.dropStragglers(at: at(9000)) == [])
    #expect(transfer.dropStragglers(at: at(9250)) == [])
    #expect(!transfer.senderIsGone(at: at(31_000)))
  }

  @Test func `a member that acknowledges more than was sent is ended`() {
    var transfer = state(3)
    transfer.receive(10, at: at(0))
    transfer.progress(1, to: 11, at: at(1))
    transfer.complete(1, with: receipt(2))
    transfer.finish(at: at(2))
    transfer.complete(0, with: receipt(1))
    transfer.complete(2, with: receipt(3))
    #expect(transfer.verdict.receiptNodes == [1, 3])
  }

  @Test func `a code that tells the sender what to do wins over unavailable`() {
    var transfer = state(3)
    transfer.fail(1, DFSError(.unavailable, "refused"))
    transfer.fail(2, DFSError(.stale, "epoch 4 is older than 5"))
    #expect(transfer.verdict.failure?.code == .stale)
  }

  @Test func `the error of a lone member is told as it is`() {
    var transfer = state(1)
    transfer.fail(0, DFSError(.alreadyExists, "another root", metadata: ["root": "x"]))
    #expect(transfer.verdict.failure?.metadata["root"] == "x")
  }

  @Test func `whatever happens, acknowledgements grow and enough receipts are the only success`() {
    var random = SeededGenerator()
    for _ in 0..<2000 {
      let count = Int.random(in: 1...5, using: &random)
      var transfer = state(count)
      var now = 0
      var acknowledged = 0
      for _ in 0..<60 where transfer.verdict.isRunning {
        now += Int.random(in: 0...900, using: &random)
        let member = Int.random(in: 0..<count, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0...3 where !transfer.isFinished: transfer.receive(64, at: at(now))
        case 4...6:
          transfer.progress(member, to: Int.random(in: 0...transfer.received, using: &random), at: at(now))
        case 7 where transfer.isFinished: transfer.complete(member, with: receipt(UInt64(member) + 1))
        case 8 where !transfer.isFinished: if Bool.random(using: &random) { transfer.finish(at: at(now)) }
        case 9:
          if Int.random(in: 0..<8, using: &random) == 0 { transfer.fail(member, DFSError(.unavailable, "x")) }
        default: _ = transfer.dropStragglers(at: at(now))
        }
        #expect(transfer.acknowledged >= acknowledged, "seed \(random.seed)")
        #expect(transfer.acknowledged <= transfer.received, "seed \(random.seed)")
        acknowledged = transfer.acknowledged
      }
      if let nodes = transfer.verdict.receiptNodes {
        #expect(nodes.count >= transfer.needed, "seed \(random.seed)")
        #expect(transfer.isFinished, "seed \(random.seed)")
      }
    }
  }
}
