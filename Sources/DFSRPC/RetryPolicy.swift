package import DFSCore

/// The cause of an error that ended a call before the server acted on it: the first byte never left, or the
/// server said that it did not begin (REFUSED_STREAM, GOAWAY). Such a call may be sent again whatever its
/// method.
struct NotProcessed: Error, CustomStringConvertible {
  var cause: DFSError?
  var description: String { cause.map { "not processed: \($0)" } ?? "not processed" }
}

/// The cause of an `.unavailable` that ended a call after it had left: the server may have acted on it. It may be
/// sent again, because its method says so; who gives up instead does not know the outcome.
package struct MaybeProcessed: Error, CustomStringConvertible {
  var cause: DFSError?
  package init(cause: DFSError? = nil) { self.cause = cause }
  package var description: String { cause.map { "maybe processed: \($0)" } ?? "maybe processed" }
}

/// Whether and when a call that failed is sent again.
struct RetryPolicy: Sendable, Hashable {
  /// The first attempt included.
  var maxAttempts = 5
  var backoff = ReconnectBackoff(initial: .milliseconds(20), longest: .seconds(1))

  /// How long to wait before the call is sent again; nothing when the error stands: an answer that another
  /// attempt can not change, or an attempt that might do the same thing twice.
  func delay(
    after error: DFSError, _ retry: Retry, attempts: Int, waits: inout ReconnectBackoff, timeLeft: Duration?,
    using random: inout some RandomNumberGenerator
  ) -> Duration? {
    guard attempts < maxAttempts, error.code == .unavailable || error.code == .outcomeUnknown else {
      return nil
    }
    guard retry == .whenSafe || error.cause is NotProcessed else { return nil }
    let wait = waits.next(using: &random)
    // An attempt that would begin after the deadline only hides the error that tells more.
    if let timeLeft, wait >= timeLeft { return nil }
    return wait
  }
}
