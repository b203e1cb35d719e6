/// The one error that crosses module and process boundaries. Its code tells the caller what to do, its
/// message tells a person what happened, to which object, and what to do next.
public struct DFSError: Error, Sendable {
  /// What the caller should do. Crosses the wire as a gRPC status plus the `reason` of
  /// `google.rpc.ErrorInfo`.
  public enum Code: String, Sendable, CaseIterable {
    /// The request can never succeed as it is: correct it.
    case invalidArgument = "INVALID_ARGUMENT"
    /// The named object does not exist.
    case notFound = "NOT_FOUND"
    /// The name is taken.
    case alreadyExists = "ALREADY_EXISTS"
    /// The object is not in the state that the request needs: not a directory, not empty, another revision.
    case failedPrecondition = "FAILED_PRECONDITION"
    case permissionDenied = "PERMISSION_DENIED"
    case unauthenticated = "UNAUTHENTICATED"
    /// A quota, a disk or a budget is full: make room or come back later.
    case exhausted = "EXHAUSTED"
    /// The sender's epoch, lease or view is out of date: refresh it, then decide again.
    case stale = "STALE"
    /// Nothing was done; try again, elsewhere or later.
    case unavailable = "UNAVAILABLE"
    case deadlineExceeded = "DEADLINE_EXCEEDED"
    case cancelled = "CANCELLED"
    /// Bytes fail their checksum: read another replica.
    case corrupt = "CORRUPT"
    /// The mutation may or may not have happened: ask again with the same request id.
    case outcomeUnknown = "OUTCOME_UNKNOWN"
    case unimplemented = "UNIMPLEMENTED"
    /// A defect of ours. Report it.
    case `internal` = "INTERNAL"
  }

  public var code: Code
  /// One sentence or two, no trailing full stop, without the cause's text.
  public var message: String
  /// Machine-readable facts for the caller, such as `path`, `chunk`, `revision`. Crosses the wire.
  public var metadata: [String: String]
  public var cause: (any Error)?

  public init(
    _ code: Code, _ message: String, metadata: [String: String] = [:], cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.metadata = metadata
    self.cause = cause
  }

  /// Gives `error` as it is when it is a `DFSError`, a cancellation as `.cancelled`, and anything else as
  /// `.internal` with the given message and the original as its cause.
  public init(wrapping error: any Error, _ message: @autoclosure () -> String) {
    switch error {
    case let error as DFSError: self = error
    case is CancellationError: self.init(.cancelled, "cancelled")
    default: self.init(.internal, message(), cause: error)
    }
  }
}

extension DFSError {
  /// The answer of a coordinator that has too few datanodes for a write. It is definite: only datanodes that
  /// come back change it, so asking again soon is of little use.
  public static func tooFewNodes(_ message: String, metadata: [String: String] = [:]) -> DFSError {
    DFSError(.unavailable, message, metadata: metadata.merging(["shortage": "datanodes"]) { $1 })
  }

  public var isTooFewNodes: Bool { code == .unavailable && metadata["shortage"] == "datanodes" }

  /// The answer to a commit while chunks that were sealed have too few copies that count, because members of
  /// their group changed or lost chunks since. Nothing was done. Repair gives the members what they lack, so the
  /// same commit may succeed as long as the upload lives.
  public static func tooFewCopies(_ message: String, metadata: [String: String] = [:]) -> DFSError {
    DFSError(.stale, message, metadata: metadata.merging(["shortage": "copies"]) { $1 })
  }

  public var isTooFewCopies: Bool { code == .stale && metadata["shortage"] == "copies" }
}

extension DFSError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
