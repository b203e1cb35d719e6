package import DFSCore
import SwiftProtobuf

/// An error of ours crosses the wire as a status with one `google.rpc.ErrorInfo`, so that the exact code and
/// the facts come back on the other side, and any gRPC client can read them.
extension RPCStatus {
  /// The domain of our `ErrorInfo`: a reason counts only beside it.
  package static let domain = "dfs"

  /// The most that the details may take: they travel in a header list that peers bound (8 KiB is common).
  package static let largestDetails = 4 << 10

  private static let errorInfoType = "type.googleapis.com/google.rpc.ErrorInfo"
  private static let longestFact = 512

  /// The status that carries `error`. The cause stays here: it is for this process's log. Facts that would
  /// make the details too large are left out, longest names and values first to go.
  package init(_ error: DFSError) {
    self.init(error.code.status, StatusMessage.truncated(error.message))
    var info = Google_Rpc_ErrorInfo()
    info.reason = error.code.rawValue
    info.domain = Self.domain
    var size = 0
    for (name, value) in error.metadata.sorted(by: { $0.key < $1.key }) {
      let cost = name.utf8.count + value.utf8.count + 8
      guard cost <= Self.longestFact + 8, size + cost <= Self.largestDetails - 2 * StatusMessage.longest
      else {
        continue
      }
      size += cost
      info.metadata[name] = value
    }
    var status = Google_Rpc_Status()
    status.code = Int32(code.rawValue)
    status.message = message
    // Serialising fails only for unset required fields (there are none) and sizes over 2 GiB.
    if let value: [UInt8] = try? info.serializedBytes() {
      var detail = Google_Rpc_Status.Detail()
      detail.typeURL = Self.errorInfoType
      detail.value = .init(value)
      status.details = [detail]
    }
    details = (try? status.serializedBytes()) ?? []
  }

  /// Any error as a status: `DFSError` as above, a cancellation as `.cancelled`, and what nobody foresaw as
  /// `.internal` without its text, which may hold what is none of the peer's business.
  package init(wrapping error: any Error) {
    self.init(DFSError(wrapping: error, "the server failed; its log has the cause"))
  }

  /// The error that this status means, or nothing when it is `.ok`.
  ///
  /// The details are foreign bytes. They are believed only when they are well-formed, speak of the same
  /// status, are of our domain, and give a reason that belongs to this status; else the nearest code stands.
  package var error: DFSError? {
    guard let nearest = code.nearest else { return nil }
    guard let info = errorInfo, info.domain == Self.domain,
      let exact = DFSError.Code(rawValue: info.reason), exact.status == code
    else { return DFSError(nearest, message) }
    return DFSError(exact, message, metadata: info.metadata)
  }

  private var errorInfo: Google_Rpc_ErrorInfo? {
    guard !details.isEmpty, details.count <= Metadata.largestSize,
      let status = try? Google_Rpc_Status(serializedBytes: details), Int(status.code) == code.rawValue,
      let detail = status.details.first(where: { $0.typeURL == Self.errorInfoType })
    else { return nil }
    return try? Google_Rpc_ErrorInfo(serializedBytes: detail.value)
  }
}
