import ArgumentParser
import DFSCore

/// Lets a command that takes several paths go on after one of them fails, as `rm` and `ls` do: each error is
/// reported when it happens, and the first one is what the command ends with.
struct Failures: Sendable {
  private var first: ExitStatus?

  /// Reports `error`, or throws it when the next path would meet it too.
  mutating func take(_ error: any Error) throws {
    guard let error = error as? DFSError else { throw error }
    switch error.code {
    case .unavailable, .deadlineExceeded, .cancelled, .unauthenticated, .unimplemented, .internal: throw error
    default: break
    }
    Terminal.complain(error)
    if first == nil { first = ExitStatus(error.code) }
  }

  /// Notes that something was left out, which a remark has named.
  mutating func leaveOut() { if first == nil { first = .partial } }

  /// Ends the command with the status of the first error, if there was one.
  func end() throws { if let first { throw ExitCode(first.rawValue) } }
}
