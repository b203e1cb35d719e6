import DFSCore
import TestSupport
import Testing

@testable import DFSRPC

@Suite struct ChannelStateTests {
  let start = ContinuousClock.now
  let a = Endpoint(host: "a", port: 1)
  let b = Endpoint(host: "b", port: 2)
  let lost = DFSError(.unavailable, "lost")

  /// A state behind a reference, which `#expect` can ask, with its answers as text.
  private final class Subject {
    var state: ChannelState<String>
    var random = SeededGenerator(seed: 1)
    private var lastID: UInt64 = 0

    init(_ endpoints: [Endpoint]) { state = ChannelState(endpoints: endpoints) }

    func wants(_ patience: ChannelState<String>.Patience, _ now: ContinuousClock.Instant) -> String {
      switch state.wants(patience, now: now) {
      case .use(let connection): "use \(connection)"
      case .connect(let endpoint): "connect \(endpoint)"
      case .wait(nil): "wait"
      case .wait: "wait a time"
      case .fail(let error): "fail \(error.message)"
      }
    }

    func connects(_ connection: String, _ now: ContinuousClock.Instant) -> UInt64? {
      lastID += 1
      return state.didConnect(connection, id: lastID, now: now) ? lastID : nil
    }

    /// The wait when the attempt's failure makes the channel back off.
    func fails(_ error: DFSError, _ now: ContinuousClock.Instant) -> (step: String, wait: Duration) {
      switch state.didFailToConnect(error, now: now, using: &random) {
      case .connect(let endpoint): ("connect \(endpoint)", .zero)
      case .backOff(let wait, let error): ("back off \(error.message)", wait)
      case .none: ("none", .zero)
      }
    }

    func ends(_ id: UInt64, _ error: DFSError, _ now: ContinuousClock.Instant) {
      state.didEnd(id, error, now: now, using: &random)
    }
  }

  @Test func `the first call connects, later ones wait, then all use one connection`() throws {
    let state = Subject([a, b])
    #expect(state.wants(.failFast, start) == "connect a:1")
    #expect(state.wants(.failFast, start) == "wait")
    #expect(state.connects("first", start) != nil)
    #expect(state.wants(.failFast, start) == "use first")
  }

  @Test func `a failed attempt moves on at once, and a failed round backs off`() throws {
    let state = Subject([a, b])
    _ = state.wants(.failFast, start)
    #expect(state.fails(lost, start).step == "connect b:2")
    let (step, wait) = state.fails(lost, start)
    #expect(step == "back off lost")
    #expect(wait >= .milliseconds(40) && wait <= .milliseconds(60))
    #expect(state.wants(.failFast, start) == "fail lost")
    #expect(state.wants(.waitForReady, start) == "wait a time")
    #expect(state.wants(.failFast, start + wait) == "connect a:1")
  }

  @Test func `a connection that ends is replaced by one to the next endpoint`() throws {
    let state = Subject([a, b])
    _ = state.wants(.failFast, start)
    let id = try #require(state.connects("first", start))
    let later = start + .seconds(5)
    state.ends(id, lost, later)
    #expect(state.wants(.failFast, later) == "connect b:2")
    // The end of the old one, reported twice, says nothing about the new one.
    let second = try #require(state.connects("second", later))
    state.ends(id, lost, later + .seconds(5))
    #expect(state.wants(.failFast, later + .seconds(5)) == "use second")
    #expect(second != id)
  }

  @Test
  func `a connection that hardly lived is followed by the next endpoint at once, a round of them by a pause`()
    throws
  {
    let state = Subject([a, b])
    #expect(state.wants(.failFast, start) == "connect a:1")
    state.ends(try #require(state.connects("first", start)), lost, start)
    #expect(state.wants(.failFast, start) == "connect b:2")
    state.ends(try #require(state.connects("second", start)), lost, start)
    #expect(state.wants(.failFast, start) == "fail lost")
    #expect(state.wants(.failFast, start + .milliseconds(60)) == "connect a:1")
  }

  @Test func `a server that accepts and drops is given pauses that grow`() throws {
    let state = Subject([a])
    var now = start
    var waits: [Duration] = []
    for _ in 0..<12 {
      let asked = now
      while state.wants(.waitForReady, now) == "wait a time" { now += .milliseconds(1) }
      waits.append(now - asked)
      let id = try #require(state.connects("c", now))
      state.ends(id, lost, now)
    }
    #expect(waits[0] == .zero)
    #expect(waits[1] > .milliseconds(30))
    #expect(waits[11] > .milliseconds(1500))
    #expect(waits.allSatisfy { $0 <= .milliseconds(2401) })
  }

  @Test func `a connection that lived starts the pauses anew`() throws {
    let state = Subject([a])
    var now = start
    for _ in 0..<10 {
      now += .seconds(10)
      _ = state.wants(.failFast, now)
      _ = state.fails(lost, now)
    }
    now += .seconds(10)
    _ = state.wants(.failFast, now)
    let id = try #require(state.connects("c", now))
    now += .seconds(10)
    state.ends(id, lost, now)
    _ = state.wants(.failFast, now)
    let (step, wait) = state.fails(lost, now)
    #expect(step == "back off lost")
    #expect(wait <= .milliseconds(60))
  }

  @Test func `a closed channel fails every call and wants no connection`() {
    let state = Subject([a])
    _ = state.wants(.failFast, start)
    let open = state.state.close()
    #expect(open == nil)
    #expect(state.connects("late", start) == nil)
    #expect(state.fails(lost, start).step == "none")
    #expect(state.wants(.waitForReady, start) == "fail the channel is closed")
    let none = Subject([])
    #expect(none.wants(.waitForReady, start) == "fail the channel has no endpoints")
  }

  @Test func `backing off grows to its bound and never repeats itself exactly`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    var backoff = ReconnectBackoff()
    var waits = (0..<200).map { _ in backoff.next(using: &random) }
    #expect(waits.dropFirst(20).allSatisfy { $0 >= .milliseconds(1600) && $0 <= .milliseconds(2400) })
    #expect(Set(waits).count > 190)
    backoff.reset()
    waits = [backoff.next(using: &random)]
    #expect(waits[0] <= .milliseconds(60))
  }
}

@Suite struct RetryTests {
  let policy = RetryPolicy()

  private func retries(
    _ code: DFSError.Code, _ retry: Retry, cause: (any Error)? = nil, attempts: Int = 1, left: Duration? = nil
  ) -> Bool {
    var random = SeededGenerator(seed: 3)
    var waits = policy.backoff
    return policy.delay(
      after: DFSError(code, "", cause: cause), retry, attempts: attempts, waits: &waits, timeLeft: left,
      using: &random)
      != nil
  }

  @Test func `only what is safe, or was not processed, is sent again`() {
    #expect(retries(.unavailable, .whenSafe))
    #expect(retries(.outcomeUnknown, .whenSafe))
    #expect(!retries(.unavailable, .never))
    #expect(!retries(.outcomeUnknown, .never))
    #expect(retries(.unavailable, .never, cause: NotProcessed()))
  }

  @Test(arguments: DFSError.Code.allCases.filter { $0 != .unavailable && $0 != .outcomeUnknown })
  func `an answer is an answer`(code: DFSError.Code) {
    #expect(!retries(code, .whenSafe))
  }

  @Test func `attempts and the deadline bound the retries`() {
    #expect(retries(.unavailable, .whenSafe, attempts: policy.maxAttempts - 1))
    #expect(!retries(.unavailable, .whenSafe, attempts: policy.maxAttempts))
    #expect(!retries(.unavailable, .whenSafe, left: .milliseconds(1)))
    #expect(retries(.unavailable, .whenSafe, left: .seconds(1)))
  }

  @Test func `a server that fails every call gets few retries, one that recovers gets them back`() {
    var budget = RetryBudget(capacity: 10)
    var retries = 0
    for _ in 0..<1000 where budget.recordFailure() { retries += 1 }
    #expect(retries == 4)
    for _ in 0..<49 { budget.recordSuccess() }
    let isGranted = budget.recordFailure()
    #expect(!isGranted)
    for _ in 0..<100 { budget.recordSuccess() }
    let isGrantedLater = budget.recordFailure()
    #expect(isGrantedLater)
  }
}
