import ArgumentParser
import DFSCore

/// Lets a command that takes several paths go on after one of them fails, as `rm`, `ls` and `cp` do: each error
/// is reported when it happens, and the first one is what the command ends with.
struct Failures: Sendable {
  private var first: ExitStatus?
  private var isPartial = false

  /// Reports `error`, or throws it when the next path would meet it too.
  mutating func take(_ error: any Error) throws {
    guard let error = error as? DFSError else { throw error }
    switch error.code {
    case .unavailable, .deadlineExceeded, .cancelled, .unauthenticated, .unimplemented, .internal,
      .exhausted, .outcomeUnknown:
      throw error
    default: break
    }
    Terminal.complain(error)
    if first == nil { first = ExitStatus(error.code) }
  }

  /// Notes that something was left out, which a remark has named. An error counts for more.
  mutating func leaveOut() { isPartial = true }

  /// Ends the command with the status of the first error, if there was one.
  func end() throws {
    guard let status = first ?? (isPartial ? .partial : nil) else { return }
    throw ExitCode(status.rawValue)
  }
}
