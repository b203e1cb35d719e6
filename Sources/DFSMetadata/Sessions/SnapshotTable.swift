import DFSCore

/// The snapshots of listings in progress: a bounded number, each for a bounded time from its making, because
/// it keeps what was deleted since on disk. The oldest makes room.
struct SnapshotTable: Sendable {
  private struct Held {
    var view: NamespaceView
    var deadline: Duration
  }

  private var held: [UInt64: Held] = [:]
  private var nextToken: UInt64
  private let limit: Int
  private let lifetime: Duration

  /// `firstToken` is different in each process, so that a token of an earlier one is not taken for a later
  /// one's.
  init(limit: Int, lifetime: Duration, firstToken: UInt64) {
    self.limit = limit
    self.lifetime = lifetime
    nextToken = firstToken
  }

  var count: Int { held.count }

  /// The snapshot of `token`, while it lives.
  mutating func view(_ token: UInt64, now: Duration) -> NamespaceView? {
    trim(now: now)
    return held[token]?.view
  }

  mutating func keep(_ view: NamespaceView, now: Duration) -> UInt64 {
    trim(now: now)
    if held.count >= limit, let oldest = held.min(by: { $0.value.deadline < $1.value.deadline }) {
      held[oldest.key] = nil
    }
    defer { nextToken &+= 1 }
    held[nextToken] = Held(view: view, deadline: now + lifetime)
    return nextToken
  }

  mutating func drop(_ token: UInt64) { held[token] = nil }
  mutating func dropAll() { held = [:] }

  /// Lets go of those whose time is over.
  mutating func trim(now: Duration) {
    if held.contains(where: { $0.value.deadline <= now }) { held = held.filter { now < $0.value.deadline } }
  }
}
