/// What one path may hold, judged by what its writers were told: a register whose operations took place at
/// one moment between their beginning and their answer.
///
/// Any number of clients may write and read at once; whatever one order of the operations explains is right.
/// An operation of unknown outcome may take place at any later moment or never. Values need not be unique.
///
/// Times are numbers of events, handed out by whoever owns the register.
struct Register: Sendable {
  enum Value: Hashable, Sendable, CustomStringConvertible {
    case absent
    case content(Content)

    var description: String {
      switch self {
      case .absent: "nothing"
      case .content(let content): "content \(content)"
      }
    }
  }

  enum Wrong: Hashable, Sendable {
    /// Something acknowledged is gone, or an older version is back in its place.
    case lost
    /// Something that was removed is back.
    case resurrected
    /// A write that was reported as failed took place.
    case refusedButVisible
    /// Nobody wrote this here.
    case neverWritten
  }

  private enum Outcome: Sendable { case running, acknowledged(Int), unknown, refused }

  private struct Write: Sendable {
    let id: Int
    let value: Value
    let begun: Int
    var outcome: Outcome = .running
    /// The end of the first read that can only have seen this write.
    var seen: Int?

    /// It certainly took place before this; it may never have when there is none.
    var effectiveBy: Int? {
      if case .acknowledged(let time) = outcome { return min(time, seen ?? time) }
      return seen
    }
    var isRefused: Bool { if case .refused = outcome { true } else { false } }
    var isSettled: Bool {
      switch outcome {
      case .acknowledged, .refused: true
      case .running, .unknown: false
      }
    }
  }

  private var writes: [Write]

  init() {
    writes = [Write(id: -1, value: .absent, begun: 0, outcome: .acknowledged(0))]
  }

  mutating func begin(_ id: Int, _ value: Value, at time: Int) {
    writes.append(Write(id: id, value: value, begun: time))
  }

  mutating func acknowledge(_ id: Int, at time: Int) { settle(id) { $0.outcome = .acknowledged(time) } }

  mutating func leaveUnknown(_ id: Int) { settle(id) { $0.outcome = .unknown } }

  /// Ends a write that failed for sure.
  mutating func refuse(_ id: Int) -> Wrong? {
    var wrong: Wrong?
    settle(id) { write in
      write.outcome = .refused
      if write.seen != nil { wrong = .refusedButVisible }
    }
    return wrong
  }

  private mutating func settle(_ id: Int, _ change: (inout Write) -> Void) {
    guard let index = writes.firstIndex(where: { $0.id == id }) else {
      preconditionFailure("a write that ends has begun")
    }
    change(&writes[index])
  }

  /// Judges a read that began and ended at these times.
  mutating func observe(_ value: Value, from begin: Int, to end: Int) -> Wrong? {
    let candidates = writes.indices.filter { writes[$0].value == value }
    let possible = candidates.filter { isPossible(writes[$0], from: begin, to: end) }
    if let only = possible.first, possible.count == 1, writes[only].seen == nil { writes[only].seen = end }
    guard possible.isEmpty else { return nil }
    if candidates.contains(where: { writes[$0].isRefused }) { return .refusedButVisible }
    guard value != .absent, !candidates.isEmpty else { return value == .absent ? .lost : .neverWritten }
    return allowed(from: begin, to: end) == [.absent] ? .resurrected : .lost
  }

  /// What a read may find.
  func allowed(from begin: Int, to end: Int) -> Set<Value> {
    Set(writes.filter { isPossible($0, from: begin, to: end) }.map(\.value))
  }

  /// What the path holds for certain; `nil` while a write runs or after one of unknown outcome.
  func certain(at time: Int) -> Value? {
    guard writes.allSatisfy(\.isSettled) else { return nil }
    let allowed = allowed(from: time, to: time)
    return allowed.count == 1 ? allowed.first : nil
  }

  private func isPossible(_ write: Write, from begin: Int, to end: Int) -> Bool {
    guard !write.isRefused, write.begun <= end else { return false }
    // Not once another write certainly followed it, and took place before the read began.
    guard let done = write.effectiveBy else { return true }
    return !writes.contains { other in
      guard !other.isRefused, other.begun > done, let effective = other.effectiveBy else { return false }
      return effective < begin
    }
  }

  /// Forgets writes that no read from `time` on can see, so that a long run stays small. They count as never
  /// written from then on.
  mutating func forget(before time: Int) {
    guard writes.count > 32 else { return }
    writes = writes.filter { $0.isRefused ? $0.begun >= time : isPossible($0, from: time, to: .max) }
  }
}
