/// What a handler knows about the call it serves. Calls that the handler makes inherit deadline and trace id.
package struct CallContext: Sendable {
  /// The context of the handler that this task works for.
  @TaskLocal package static var current: CallContext?

  private let storage: Storage

  private final class Storage: Sendable {
    let path: String
    let metadata: Metadata
    let deadline: ContinuousClock.Instant?
    let peer: String
    let traceID: String?
    let traceSeed: (UInt64, UInt64)

    init(
      path: String, metadata: Metadata, deadline: ContinuousClock.Instant?, peer: String,
      traceID: String?, traceSeed: (UInt64, UInt64)
    ) {
      self.path = path
      self.metadata = metadata
      self.deadline = deadline
      self.peer = peer
      self.traceID = traceID
      self.traceSeed = traceSeed
    }
  }

  /// `traceSeed` makes the trace id where the caller sent none (`metadata["x-request-id"]`).
  package init(
    path: String, metadata: Metadata = Metadata(), deadline: ContinuousClock.Instant? = nil, peer: String,
    traceSeed: (UInt64, UInt64)
  ) {
    storage = Storage(
      path: path, metadata: metadata, deadline: deadline, peer: peer, traceID: metadata[Self.traceField],
      traceSeed: traceSeed)
  }

  /// The metadata field that carries the trace id from process to process.
  package static let traceField = "x-request-id"

  /// The method's full path, `/package.Service/Method`.
  package var path: String { storage.path }
  package var metadata: Metadata { storage.metadata }
  /// When the caller gives up; the handler is cancelled then.
  package var deadline: ContinuousClock.Instant? { storage.deadline }
  /// The address of the caller, or the name in its verified certificate.
  package var peer: String { storage.peer }
  /// Follows a call through every process and log line.
  package var traceID: String {
    if let id = storage.traceID { return id }
    let text = String(storage.traceSeed.0, radix: 16)
    let rest = String(storage.traceSeed.1, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
      + String(repeating: "0", count: 16 - rest.count)
      + rest
  }
}
