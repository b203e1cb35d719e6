import TestSupport
import Testing

@testable import DFSTransport

@Suite struct `Credit of a stream` {
  @Test func `bytes of a message that is arriving are given back at once`() {
    var credit = StreamCredit(window: 400)
    #expect(credit.received(100) == .init(connection: 100, stream: 100))
    #expect(credit.held == 0)
  }

  @Test func `an unread message holds its bytes back until it is taken`() {
    var credit = StreamCredit(window: 400)
    credit.queued(300)
    #expect(credit.received(300) == .init())
    #expect(credit.held == 300)
    #expect(credit.taken(300) == .init(connection: 300, stream: 300))
  }

  @Test func `a message larger than the window does not wait for itself`() {
    var credit = StreamCredit(window: 100)
    var given = 0
    for _ in 0..<50 { given += credit.received(20).stream }
    #expect(given >= 1000 - credit.step)
  }

  @Test func `a large message behind an unread one goes on when that is taken`() {
    var credit = StreamCredit(window: 100)
    credit.queued(15)
    _ = credit.received(15)
    // The window is used up by the next message, which is incomplete.
    let stuck = credit.received(85)
    #expect(stuck.connection == 85)
    #expect(credit.held == 15)
    _ = credit.taken(15)
    #expect(credit.held == 0)
  }

  /// A peer that keeps to the credit it got, a reader of any pace: nothing is lost, nothing is given twice.
  @Test func `credit given equals bytes received, whatever the order`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<300 {
      let window = Int.random(in: 1...5000, using: &random)
      var credit = StreamCredit(window: window)
      var allowance = window
      var received = 0
      var connection = 0
      var stream = 0
      var unread: [Int] = []
      var missing = 0
      var size = 0
      func apply(_ grant: StreamCredit.Grant) {
        connection += grant.connection
        stream += grant.stream
        allowance += grant.stream
      }
      for _ in 0..<400 {
        if Bool.random(using: &random), allowance > 0 {
          if missing == 0 {
            size = Int.random(in: 1...8000, using: &random)
            missing = size
          }
          let count = min(missing, Int.random(in: 1...allowance, using: &random))
          missing -= count
          allowance -= count
          received += count
          if missing == 0 {
            credit.queued(size)
            unread.append(size)
          }
          apply(credit.received(count))
        } else if !unread.isEmpty {
          apply(credit.taken(unread.removeFirst()))
        }
        #expect(connection + credit.held == received)
        #expect(stream + credit.due == connection)
        #expect(credit.held <= credit.unread)
        #expect(allowance > 0 || !unread.isEmpty || credit.due < credit.step)
      }
      while !unread.isEmpty { apply(credit.taken(unread.removeFirst())) }
      #expect(credit.held == 0 && connection == received)
      #expect(allowance + credit.due == window)
    }
  }
}

@Suite struct `Credit of a connection` {
  @Test func `the window follows the share and the budget never loses a byte`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let budget = ReceiveBudget(limit: .mib(8))
    var connections: [(credit: ConnectionCredit, window: Int, unread: Int)] = []
    for _ in 0..<4000 {
      if connections.isEmpty || (connections.count < 20 && Int.random(in: 0..<50, using: &random) == 0) {
        var credit = ConnectionCredit()
        let opened = credit.open(to: budget.open())
        budget.join(taking: credit.taken)
        connections.append((credit, ConnectionCredit.floor + opened, 0))
        continue
      }
      let index = Int.random(in: 0..<connections.count, using: &random)
      let received = Int.random(in: 0...connections[index].window, using: &random)
      connections[index].window -= received
      connections[index].unread += received
      let consumed = Int.random(in: 0...connections[index].unread, using: &random)
      connections[index].unread -= consumed
      let given = connections[index].credit.consumed(consumed, target: min(64 << 20, budget.share())) {
        wanted in
        guard wanted >= 0 else {
          budget.give(-wanted)
          return wanted
        }
        return budget.take(wanted)
      }
      connections[index].window += given
      let state = connections[index]
      #expect(state.credit.extent == state.window + state.unread + state.credit.due)
      #expect(budget.used.int == connections.reduce(0) { $0 + $1.credit.taken })
    }
    // Twenty connections that were busy for long have shrunk to their shares.
    #expect(budget.used <= .mib(8 + 2))
  }
}

@Suite struct `Rate limits` {
  @Test func `a burst passes, then so many a second`() {
    var limit = RateLimit(burst: 10, perSecond: 5, now: .zero)
    #expect((0..<20).count { _ in limit.allows(now: .zero) } == 10)
    #expect((0..<20).count { _ in limit.allows(now: .seconds(1)) } == 5)
    #expect((0..<20).count { _ in limit.allows(now: .seconds(100)) } == 10)
  }
}
