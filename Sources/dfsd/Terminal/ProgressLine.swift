import DFSClient
import DFSCore
import Foundation
import NIOConcurrencyHelpers

/// One line on a terminal that tells how far a transfer is, how fast, and how long it will take. Nothing
/// where standard error is no terminal.
final class ProgressLine: Sendable {
  private struct State: Sendable {
    var started: ContinuousClock.Instant
    var finished: Int64 = 0
    var current: [Int: Int64] = [:]
    var total: Int64?
    var nextID = 0
    var shown: ContinuousClock.Instant?
    var isVisible = false
  }

  private let label: String
  private let state: NIOLockedValueBox<State>

  /// Nothing when nobody would see it. `total` is the length of all files together, when it is known.
  init?(_ label: String, total: Int64?) {
    guard Terminal.isErrorTerminal else { return nil }
    self.label = label
    state = NIOLockedValueBox(State(started: .now, total: total))
  }

  /// A handler for one more file of the transfer.
  func handler() -> ProgressHandler {
    let id = state.withLockedValue { state in
      state.nextID += 1
      return state.nextID
    }
    return { [self] progress in update(id, progress) }
  }

  private func update(_ id: Int, _ progress: TransferProgress) {
    let now = ContinuousClock.now
    let line: String? = state.withLockedValue { state in
      state.current[id] = progress.done.rawValue
      if progress.done == progress.total {
        state.finished += progress.done.rawValue
        state.current[id] = nil
      }
      // Short transfers need no line; a fast one must not flicker.
      guard state.started.duration(to: now) > .milliseconds(300) else { return nil }
      if let shown = state.shown, shown.duration(to: now) < .milliseconds(100) { return nil }
      state.shown = now
      state.isVisible = true
      return text(state, now)
    }
    if let line { FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8)) }
  }

  private func text(_ state: State, _ now: ContinuousClock.Instant) -> String {
    let done = state.finished + state.current.values.reduce(0, +)
    let elapsed = state.started.duration(to: now)
    let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
    let rate = seconds > 0 ? Double(done) / seconds : 0
    var text = "\(label)  \(ByteCount(done))"
    if let total = state.total, total > 0 {
      text += " of \(ByteCount(total))  \(min(100, done * 100 / total)) %"
    }
    text += "  \(ByteCount(Int64(rate)))/s"
    if let total = state.total, rate > 0, total > done {
      text += "  \(HumanText.duration(.seconds(Double(total - done) / rate))) left"
    }
    return text
  }

  /// Removes the line, so that results start on a clean one.
  func clear() {
    let wasVisible = state.withLockedValue { state in
      defer { state.isVisible = false }
      return state.isVisible
    }
    if wasVisible { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
  }
}
