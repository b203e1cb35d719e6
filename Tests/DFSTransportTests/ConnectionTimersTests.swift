import Testing

@testable import DFSTransport

@Suite struct `The clock side of a connection` {
  private func timers(
    side: HTTP2Session.Side = .server, _ change: (inout HTTP2Configuration) -> Void = { _ in }
  ) -> ConnectionTimers {
    var configuration = HTTP2Configuration()
    configuration.keepaliveInterval = nil
    configuration.idleTimeout = nil
    change(&configuration)
    return ConnectionTimers(configuration, side: side, now: .zero)
  }

  @Test func `a handshake has ten seconds`() {
    var timers = timers()
    #expect(timers.check(now: .seconds(9), hasStreams: false).action == nil)
    #expect(timers.check(now: .seconds(10), hasStreams: false).action == .giveUpHandshake)
  }

  @Test func `a silent peer is pinged, then given up`() {
    var timers = timers {
      $0.keepaliveInterval = .seconds(1)
      $0.keepaliveTimeout = .seconds(2)
    }
    timers.becameReady(now: .zero)
    #expect(timers.check(now: .milliseconds(900), hasStreams: true) == (nil, .seconds(1)))
    #expect(timers.check(now: .seconds(1), hasStreams: true).action == .sendPing)
    #expect(timers.check(now: .seconds(2), hasStreams: true) == (nil, .seconds(3)))
    #expect(timers.check(now: .seconds(3), hasStreams: true).action == .giveUpPeer)
  }

  @Test func `any byte proves that the peer lives`() {
    var timers = timers {
      $0.keepaliveInterval = .seconds(1)
      $0.keepaliveTimeout = .seconds(2)
    }
    timers.becameReady(now: .zero)
    #expect(timers.check(now: .seconds(1), hasStreams: true).action == .sendPing)
    timers.heard(now: .milliseconds(2900))
    #expect(timers.check(now: .seconds(3), hasStreams: true).action == nil)
    #expect(timers.check(now: .milliseconds(3900), hasStreams: true).action == .sendPing)
  }

  @Test func `a client without calls does not ping`() {
    var timers = timers(side: .client) { $0.keepaliveInterval = .seconds(1) }
    timers.becameReady(now: .zero)
    #expect(timers.check(now: .seconds(50), hasStreams: false).action == nil)
    #expect(timers.check(now: .seconds(50), hasStreams: true).action == .sendPing)
  }

  @Test func `an idle connection and an old one are drained, a draining one is closed in time`() {
    var idle = timers { $0.idleTimeout = .seconds(60) }
    idle.becameReady(now: .zero)
    #expect(idle.check(now: .seconds(59), hasStreams: true).action == nil)
    #expect(idle.check(now: .seconds(118), hasStreams: false).action == nil)
    #expect(idle.check(now: .seconds(119), hasStreams: false).action == .drainIdle)

    var old = timers { $0.maxConnectionAge = .seconds(60) }
    old.becameReady(now: .zero)
    #expect(old.check(now: .seconds(60), hasStreams: true).action == .drainAged)
    old.beginDrain(until: .seconds(70))
    #expect(old.check(now: .seconds(69), hasStreams: true).action == nil)
    #expect(old.check(now: .seconds(70), hasStreams: true).action == .close)
  }
}

@Suite struct `The wheel of deadlines` {
  @Test func `each deadline is met once, in time, unless it is cancelled`() {
    let wheel = DeadlineWheel(now: .zero)
    var met: [Int: Duration] = [:]
    var now = Duration.zero
    var entries: [DeadlineEntry] = []
    for number in 0..<3000 {
      entries.append(wheel.add(at: .milliseconds(number * 13), now: .zero) { met[number] = now })
    }
    for number in stride(from: 0, to: 3000, by: 3) { entries[number].cancel() }
    #expect(wheel.count == 2000)
    while now < .seconds(45) {
      now += .milliseconds(7)
      wheel.advance(to: now)
    }
    #expect(wheel.count == 0)
    for number in 0..<3000 {
      guard number % 3 != 0 else {
        #expect(met[number] == nil)
        continue
      }
      let due = Duration.milliseconds(number * 13)
      #expect(met[number].map { $0 >= due && $0 <= due + .milliseconds(28) } == true)
    }
  }

  @Test func `an action may cancel the others of its moment`() {
    let wheel = DeadlineWheel(now: .zero)
    var entries: [DeadlineEntry] = []
    var count = 0
    for _ in 0..<10 {
      entries.append(
        wheel.add(at: .milliseconds(5), now: .zero) {
          count += 1
          for entry in entries { entry.cancel() }
        })
    }
    wheel.advance(to: .seconds(1))
    #expect(count == 1)
    #expect(wheel.count == 0)
  }

  @Test func `a long pause misses nothing`() {
    let wheel = DeadlineWheel(now: .zero)
    var count = 0
    for number in 0..<5000 { _ = wheel.add(at: .milliseconds(number * 20), now: .zero) { count += 1 } }
    wheel.advance(to: .seconds(1000))
    #expect(count == 5000)
  }
}
