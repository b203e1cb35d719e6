import DFSCore
import Foundation
import NIOConcurrencyHelpers

/// Waits for something that goes on in the cluster, by looking again and again, and tells on a terminal how
/// far it is. Cancellation ends the waiting, never what is waited for.
enum Waiting {
  /// The line that says how far it is; nothing where standard error is no terminal.
  final class Line: Sendable {
    private let isVisible = NIOLockedValueBox(false)

    func show(_ text: String) {
      guard Terminal.isErrorTerminal else { return }
      isVisible.withLockedValue { $0 = true }
      FileHandle.standardError.write(Data("\r\u{1B}[K\(HumanText.name(text))".utf8))
    }

    func clear() {
      guard isVisible.withLockedValue({ $0 }) else { return }
      isVisible.withLockedValue { $0 = false }
      FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    }
  }

  /// What `look` gives when it gives something.
  static func until<Result: Sendable>(
    every pause: Duration = .milliseconds(500), _ look: @Sendable (Line) async throws -> Result?
  ) async throws -> Result {
    let line = Line()
    defer { line.clear() }
    while true {
      if let result = try await look(line) { return result }
      try await Task.sleep(for: pause)
    }
  }
}
