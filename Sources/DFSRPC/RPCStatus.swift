package import DFSCore

/// How a call ended: gRPC's code, a sentence for a person, and the serialised `google.rpc.Status` that says
/// more, if any. What crosses the wire as `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
package struct RPCStatus: Sendable, Hashable {
  /// gRPC's own numbers.
  package enum Code: Int, Sendable, CaseIterable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
  }

  package var code: Code
  package var message: String
  /// A serialised `google.rpc.Status`; empty when there is none. Foreign bytes until `error` has read them.
  package var details: [UInt8]

  package static let ok = RPCStatus(.ok, "")

  package init(_ code: Code, _ message: String, details: [UInt8] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  /// Reads a `grpc-status` header; a number nobody knows, or no number, means `.unknown`.
  package static func code(header text: String) -> Code {
    guard text.utf8.count <= 3, let number = Int(text) else { return .unknown }
    return Code(rawValue: number) ?? .unknown
  }

  /// What a response without `grpc-status` means, from its HTTP status (http-grpc-status-mapping.md).
  package static func code(httpStatus: Int) -> Code {
    switch httpStatus {
    case 400: .internal
    case 401: .unauthenticated
    case 403: .permissionDenied
    case 404: .unimplemented
    case 429, 502, 503, 504: .unavailable
    default: .unknown
    }
  }

  /// What a stream that the peer reset means, from its HTTP/2 error code (PROTOCOL-HTTP2.md, "Errors").
  package static func code(http2Error: UInt32) -> Code {
    switch http2Error {
    case 0x7: .unavailable  // REFUSED_STREAM: nothing was done
    case 0x8: .cancelled  // CANCEL
    case 0xB: .resourceExhausted  // ENHANCE_YOUR_CALM
    case 0xC: .permissionDenied  // INADEQUATE_SECURITY
    default: .internal
    }
  }
}

extension DFSError.Code {
  /// The gRPC code that stands for this one on the wire.
  package var status: RPCStatus.Code {
    switch self {
    case .invalidArgument: .invalidArgument
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .failedPrecondition: .failedPrecondition
    case .permissionDenied: .permissionDenied
    case .unauthenticated: .unauthenticated
    case .exhausted: .resourceExhausted
    case .stale: .aborted
    case .unavailable: .unavailable
    case .deadlineExceeded: .deadlineExceeded
    case .cancelled: .cancelled
    case .corrupt: .dataLoss
    case .outcomeUnknown: .unknown
    case .unimplemented: .unimplemented
    case .internal: .internal
    }
  }
}

extension RPCStatus.Code {
  /// The nearest code of ours to a plain status of a foreign peer; nothing for `.ok`.
  package var nearest: DFSError.Code? {
    switch self {
    case .ok: nil
    case .cancelled: .cancelled
    case .unknown: .outcomeUnknown
    case .invalidArgument, .outOfRange: .invalidArgument
    case .deadlineExceeded: .deadlineExceeded
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .permissionDenied: .permissionDenied
    case .resourceExhausted: .exhausted
    case .failedPrecondition: .failedPrecondition
    case .aborted: .stale
    case .unimplemented: .unimplemented
    case .internal: .internal
    case .unavailable: .unavailable
    case .dataLoss: .corrupt
    case .unauthenticated: .unauthenticated
    }
  }
}
