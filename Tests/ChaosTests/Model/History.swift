import Synchronization

/// All that happened in one run: a register per path, the events in their order, and what went wrong. Clients
/// tell it before they ask the cluster and after they were answered.
final class History: Sendable {
  struct Violation: Sendable, CustomStringConvertible {
    let path: String
    let what: String
    let elapsed: Duration
    var description: String { "after \(elapsed): \(path): \(what)" }
  }

  /// A read or write that has begun.
  struct Operation: Sendable {
    fileprivate let id: Int
    fileprivate let paths: [String]
    fileprivate var begun: Int { id }
  }

  enum Outcome: String, Sendable, CaseIterable { case acknowledged, refused, unknown }

  /// How often each kind of operation had each outcome.
  struct Counts: Sendable {
    fileprivate(set) var outcomes: [String: [Outcome: Int]] = [:]
    func total(_ outcome: Outcome) -> Int { outcomes.values.reduce(0) { $0 + ($1[outcome] ?? 0) } }

    var lines: [String] {
      outcomes.sorted { $0.key < $1.key }.map { kind, counts in
        kind + ": "
          + Outcome.allCases.map { "\(counts[$0] ?? 0) \($0.rawValue)" }.joined(separator: ", ")
      }
    }
  }

  /// Writes to several paths at one moment that may have taken place, or not: all of them or none.
  private struct Doubt: Sendable {
    let before: [String: Register.Value]
    let after: [String: Register.Value]
  }

  private struct State: Sendable {
    var time = 0
    var registers: [String: Register] = [:]
    var running: Set<Int> = []
    var doubts: [Doubt] = []
    var violations: [Violation] = []
    var counts = Counts()
  }

  private let state = Mutex(State())
  private let started = ContinuousClock.now

  var violations: [Violation] { state.withLock { $0.violations } }
  var counts: Counts { state.withLock { $0.counts } }
  var paths: [String] { state.withLock { $0.registers.keys.sorted() } }

  /// What a path holds for certain, nothing counting as known for a path that nobody wrote to.
  func certain(_ path: String) -> Register.Value? {
    state.withLock { state in
      // As of a read that begins now, after everything that has ended.
      state.registers[path].map { $0.certain(at: state.time + 1) } ?? .absent
    }
  }

  /// Begins a write that gives all these paths their values at one moment.
  func begin(_ values: [String: Register.Value]) -> Operation {
    state.withLock { state in
      state.time += 1
      for (path, value) in values {
        state.registers[path, default: Register()].begin(state.time, value, at: state.time)
      }
      state.running.insert(state.time)
      return Operation(id: state.time, paths: Array(values.keys))
    }
  }

  func end(_ operation: Operation, _ kind: String, _ outcome: Outcome) {
    state.withLock { state in
      state.time += 1
      state.running.remove(operation.id)
      state.counts.outcomes[kind, default: [:]][outcome, default: 0] += 1
      let oldest = state.running.min() ?? state.time
      for path in operation.paths {
        switch outcome {
        case .acknowledged: state.registers[path]?.acknowledge(operation.id, at: state.time)
        case .unknown: state.registers[path]?.leaveUnknown(operation.id)
        case .refused:
          if state.registers[path]?.refuse(operation.id) != nil {
            note(path, "a write was reported as failed, and was seen before", &state)
          }
        }
        state.registers[path]?.forget(before: oldest)
      }
    }
  }

  /// Remembers that an operation of unknown outcome must have done all or nothing.
  func doubt(from before: [String: Register.Value], to after: [String: Register.Value]) {
    state.withLock { $0.doubts.append(Doubt(before: before, after: after)) }
  }

  func beginRead(_ path: String) -> Operation {
    state.withLock { state in
      state.time += 1
      state.running.insert(state.time)
      return Operation(id: state.time, paths: [path])
    }
  }

  /// Ends a read that found bytes, or nothing.
  func endRead(_ operation: Operation, found bytes: [UInt8]?) {
    let value: Register.Value?
    if let bytes { value = Content(recognizing: bytes).map { .content($0) } } else { value = .absent }
    let path = operation.paths[0]
    state.withLock { state in
      state.time += 1
      state.running.remove(operation.id)
      state.counts.outcomes["read", default: [:]][.acknowledged, default: 0] += 1
      guard let value else {
        note(path, "wrong bytes: \(bytes?.count ?? 0) of them, which are no version's", &state)
        return
      }
      let wrong = state.registers[path, default: Register()].observe(
        value, from: operation.begun, to: state.time)
      guard let wrong else { return }
      let allowed = state.registers[path]?.allowed(from: operation.begun, to: state.time) ?? []
      let expected = allowed.map(\.description).sorted().joined(separator: " or ")
      note(path, "\(wrong): found \(value), may have \(expected)", &state)
    }
  }

  /// Ends a read that was not answered: it says nothing.
  func endReadWithoutAnswer(_ operation: Operation) {
    state.withLock { state in
      state.running.remove(operation.id)
      state.counts.outcomes["read", default: [:]][.refused, default: 0] += 1
    }
  }

  /// Ends a read that was none.
  func withdraw(_ operation: Operation) { state.withLock { _ = $0.running.remove(operation.id) } }

  func note(_ path: String, _ what: String) { state.withLock { note(path, what, &$0) } }

  private func note(_ path: String, _ what: String, _ state: inout State) {
    state.violations.append(Violation(path: path, what: what, elapsed: started.duration(to: .now)))
  }

  /// Judges what every path holds at the end, when nothing runs any more.
  func judgeDoubts(_ found: [String: Register.Value]) {
    state.withLock { state in
      for doubt in state.doubts {
        let seen = found.filter { doubt.before[$0.key] != nil }
        if seen != doubt.before, seen != doubt.after {
          let text = seen.map { "\($0.key) has \($0.value)" }.sorted().joined(separator: ", ")
          note(doubt.before.keys.sorted().joined(separator: " and "), "half of a move: \(text)", &state)
        }
      }
    }
  }
}
