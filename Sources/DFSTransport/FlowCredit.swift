/// Decides when the peer of one stream may send more.
///
/// Bytes of complete messages that nobody took yet are withheld, so a reader that stops stops its sender.
/// Bytes of the message that is arriving are given back at once, or a message larger than the window
/// would wait for itself for ever. So: `held` = received − given back, and after every event `held` ≤
/// `unread`. Credit is handed out in pieces of at least `step`. A stream's memory is at most window +
/// twice the largest message.
struct StreamCredit {
  let step: Int
  /// Received and not given back to the connection.
  private(set) var held = 0
  /// Bytes of complete messages that wait for the reader.
  private(set) var unread = 0
  /// Due to the peer, but less than a step.
  private(set) var due = 0

  init(window: Int) { step = max(1, min(window / 4, 1 << 20)) }

  /// What an event gives back: to the connection now, and to the stream once it is a step.
  struct Grant: Equatable {
    var connection = 0
    var stream = 0
  }

  mutating func received(_ count: Int) -> Grant {
    held += count
    return settle()
  }

  /// A message became complete; its bytes now wait for the reader.
  mutating func queued(_ count: Int) { unread += count }

  /// The reader took a message.
  mutating func taken(_ count: Int) -> Grant {
    precondition(count <= unread, "only what was queued can be taken")
    unread -= count
    return settle()
  }

  /// The stream is closed: what is held goes back to the connection.
  mutating func close() -> Int {
    defer {
      held = 0
      unread = 0
      due = 0
    }
    return held
  }

  private mutating func settle() -> Grant {
    guard held > unread else { return Grant() }
    let freed = held - unread
    held = unread
    due += freed
    guard due >= step else { return Grant(connection: freed) }
    defer { due = 0 }
    return Grant(connection: freed, stream: due)
  }
}

/// Decides how far the window of one connection is open.
///
/// `extent` is what the peer may still send plus what was received and not given back: the memory this
/// connection may come to need. The part above the protocol's 65,535 bytes is taken from the process's
/// budget; the extent follows the connection's fair share of it, growing at most twofold with each step
/// of credit and shrinking by withholding.
struct ConnectionCredit {
  static let floor = 65_535

  private(set) var extent = ConnectionCredit.floor
  /// Due to the peer and not sent yet.
  private(set) var due = 0

  /// What the connection holds of the budget.
  var taken: Int { extent - Self.floor }

  private var step: Int { max(1, min(extent / 4, 1 << 20)) }

  /// The application consumed `count` bytes. Returns the credit to send now, if any. `budget` gives what the
  /// connection asks for (or less), and takes what it gives back (negative).
  mutating func consumed(_ count: Int, target: Int, budget: (Int) -> Int) -> Int {
    due += count
    guard due >= step else { return 0 }
    return release(target: max(target, Self.floor), budget: budget)
  }

  /// Opens the window at the start. What this takes is counted when the first stream opens.
  mutating func open(to size: Int) -> Int {
    let credit = max(0, size - extent)
    extent += credit
    return credit
  }

  private mutating func release(target: Int, budget: (Int) -> Int) -> Int {
    var credit = due
    due = 0
    if extent > target {
      let withheld = min(credit, extent - target)
      _ = budget(-withheld)
      extent -= withheld
      credit -= withheld
    } else if extent < target {
      let granted = budget(min(target - extent, extent))
      extent += granted
      credit += granted
    }
    return credit
  }

  /// Lets the peer send a little more although its window is used up: a reader waits, and what it waits for
  /// may be behind bytes of other streams that nobody reads.
  mutating func lend(_ count: Int) -> Int {
    extent += count
    return count
  }
}

/// A token bucket: so many at once, then so many a second.
struct RateLimit {
  let burst: Int
  let perSecond: Int
  private var tokens: Double
  private var last: Duration

  init(burst: Int, perSecond: Int, now: Duration) {
    self.burst = burst
    self.perSecond = perSecond
    tokens = Double(burst)
    last = now
  }

  /// Whether one more event at `now` is within the limit.
  mutating func allows(now: Duration) -> Bool {
    let elapsed = (now - last) / .seconds(1)
    last = now
    tokens = min(Double(burst), tokens + elapsed * Double(perSecond))
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}
