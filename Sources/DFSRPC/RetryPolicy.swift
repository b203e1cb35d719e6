import DFSCore

/// Whether and when a call that failed is sent again.
struct RetryPolicy: Sendable, Hashable {
  /// The first attempt included.
  var maxAttempts = 5
  var backoff = ReconnectBackoff(initial: .milliseconds(20), longest: .seconds(1))

  /// How far a call has got, as the client can know.
  enum Progress: Sendable, Hashable {
    /// Its first byte never left, or the server said that it did not begin (REFUSED_STREAM, GOAWAY).
    case notProcessed
    case unknown
  }

  /// How long to wait before the call is sent again; nothing when the error stands.
  ///
  /// A call that was not processed is sent again whatever its method; else `retry` must allow it and the error must
  /// be one that another attempt can cure.
  func delay(
    after error: DFSError, _ progress: Progress, _ retry: Retry, attempts: Int, waits: inout ReconnectBackoff,
    timeLeft: Duration?, using random: inout some RandomNumberGenerator
  ) -> Duration? {
    guard attempts < maxAttempts, error.code == .unavailable || error.code == .outcomeUnknown else { return nil }
    guard progress == .notProcessed || retry == .whenSafe else { return nil }
    let wait = waits.next(using: &random)
    // An attempt that would begin after the deadline only hides the error that tells more.
    if let timeLeft, wait >= timeLeft { return nil }
    return wait
  }
}
