import DFSCore

/// Who talks.
enum Host: Hashable {
  case coordinator(Int)
  case machine(Int)
  case client(Int)
}

/// How the world's messages travel: with delays, and with losses while the network is bad.
struct Network {
  /// Of a thousand messages: never arrive.
  var lost = 0
  /// Of a thousand requests: arrive twice.
  var doubled = 0
  var fastest: Span = .milliseconds(1)
  var slowest: Span = .milliseconds(20)
  /// Hosts on different sides hear nothing of each other; a host that is not named is on side 0.
  private var sides: [Host: Int] = [:]
  /// Pairs that can not talk though they are on one side.
  private var cuts: Set<Pair> = []

  private struct Pair: Hashable {
    var hosts: Set<Host>
  }

  func connects(_ one: Host, _ other: Host) -> Bool {
    if one == other { return true }
    guard sides.isEmpty || sides[one] ?? 0 == sides[other] ?? 0 else { return false }
    return cuts.isEmpty || !cuts.contains(Pair(hosts: [one, other]))
  }

  mutating func separate(_ hosts: some Sequence<Host>, side: Int) { for host in hosts { sides[host] = side } }
  mutating func cut(_ one: Host, _ other: Host) { cuts.insert(Pair(hosts: [one, other])) }
  mutating func heal() {
    sides = [:]
    cuts = []
  }
  var isWhole: Bool { sides.isEmpty && cuts.isEmpty }
}

extension World {
  /// One message: `arrive` runs at the other side, later, or never.
  func send(from sender: Host, to receiver: Host, _ arrive: @escaping () -> Void) {
    let chance = Int.random(in: 0..<1000, using: &random)
    if chance < network.lost { return }
    let span = Int64.random(
      in: network.fastest.milliseconds...network.slowest.milliseconds, using: &random)
    schedule(after: Span(milliseconds: span)) { [self] in deliver(from: sender, to: receiver, arrive) }
  }

  private func deliver(from sender: Host, to receiver: Host, _ arrive: @escaping () -> Void) {
    guard network.connects(sender, receiver) else { return }
    // A process that stands still finds its messages when it goes on.
    if let end = pauseEnd(of: receiver), end > now {
      schedule(at: end) { [self] in deliver(from: sender, to: receiver, arrive) }
    } else {
      arrive()
    }
  }

  /// A call: `serve` runs at the other side and gives its answer to the closure that it gets, once; `then`
  /// runs exactly once, with that answer, or with `.deadlineExceeded` when none has come in time.
  func call<Answer>(
    from caller: Host, to server: Host, timeout: Span,
    serve: @escaping (_ answer: @escaping (Result<Answer, DFSError>) -> Void) -> Void,
    then: @escaping (Result<Answer, DFSError>) -> Void
  ) {
    let call = OpenCall(then)
    let request = { [self] in
      serve { result in self.send(from: server, to: caller) { call.end(result) } }
    }
    send(from: caller, to: server, request)
    if Int.random(in: 0..<1000, using: &random) < network.doubled {
      send(from: caller, to: server, request)
    }
    schedule(after: timeout) {
      call.end(.failure(DFSError(.deadlineExceeded, "no answer in time")))
    }
  }
}

/// A call that somebody waits for.
private final class OpenCall<Answer> {
  private var then: ((Result<Answer, DFSError>) -> Void)?
  init(_ then: @escaping (Result<Answer, DFSError>) -> Void) { self.then = then }

  func end(_ result: Result<Answer, DFSError>) {
    guard let then else { return }
    self.then = nil
    then(result)
  }
}
