import DFSCore
import Foundation

/// Standard output and error, as a person or a pipe sees them.
enum Terminal {
  static var isErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }
  static var isOutputTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Prints one line of results. A reader that went away ends the process without a word.
  static func print(_ line: String, terminator: String = "\n") { write(line + terminator, to: STDOUT_FILENO) }

  /// One remark on standard error.
  static func note(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

  /// A question on standard error; the answer follows it on the same line.
  static func ask(_ question: String) { write(question, to: STDERR_FILENO) }

  /// The one line that says what went wrong and what to do.
  static func complain(_ error: DFSError) {
    guard error.code != .cancelled else { return }
    note("dfsd: \(oneLine(describe(error)))")
  }

  /// The message and the causes below it that say something new.
  static func describe(_ error: DFSError) -> String {
    var text = error.message
    var cause = error.cause
    var depth = 0
    while let next = cause, depth < 3 {
      let message = (next as? DFSError)?.message ?? String(describing: next)
      if !text.contains(message) { text += ": \(message)" }
      cause = (next as? DFSError)?.cause
      depth += 1
    }
    return text
  }

  private static func oneLine(_ text: String) -> String {
    // A list of wrong settings has a line each; control characters of foreign names would move the cursor.
    String(
      text.unicodeScalars.map { $0.value < 0x20 && $0 != "\n" || $0.value == 0x7F ? "?" : Character($0) })
  }

  /// Ends the process as one ends that knows nothing of SIGPIPE: `dfsd cat FILE | head` is silent, and the
  /// shell sees a signal, no error.
  static func endWithoutReader() -> Never {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    Foundation.exit(ExitStatus.interrupted.rawValue)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EPIPE {
        endWithoutReader()
      } else if errno != EINTR {
        return
      }
    }
  }
}
