import Foundation

/// Colours for a terminal that has them, and nothing elsewhere.
struct TextStyle: Sendable {
  let isColoured: Bool

  /// That of standard output: coloured on a terminal, unless `NO_COLOR` is set (no-color.org) or it is dumb.
  static var output: TextStyle {
    let environment = ProcessInfo.processInfo.environment
    let wanted = environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
    return TextStyle(isColoured: Terminal.isOutputTerminal && wanted)
  }

  func red(_ text: String) -> String { wrap(text, "1;31") }
  func yellow(_ text: String) -> String { wrap(text, "1;33") }
  func green(_ text: String) -> String { wrap(text, "1;32") }
  func bold(_ text: String) -> String { wrap(text, "1") }

  private func wrap(_ text: String, _ code: String) -> String {
    isColoured ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
