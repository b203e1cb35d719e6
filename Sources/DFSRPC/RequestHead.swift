import DFSCore
import DFSTransport

/// What the head of a request says, or why it is refused.
struct RequestHead {
  enum Refusal: Error {
    /// No gRPC at all: an HTTP answer with a text for people.
    case http(status: String, text: String, allow: String?)
    case status(RPCStatus)
  }

  let method: ServedMethod
  let metadata: Metadata
  let timeout: Duration?
  let encoding: MessageEncoding
  let responseEncoding: MessageEncoding

  init(_ headers: HeaderBlock, router: RPCRouter) throws(Refusal) {
    guard headers.value(of: ":method", is: "POST") else {
      throw .http(
        status: "405", text: "This is a gRPC server. Call it with a gRPC client, for example grpcurl.\n",
        allow: "POST")
    }
    guard headers.value(of: "content-type", is: "application/grpc") || Self.isGRPC(headers) else {
      throw .http(
        status: "415", text: "This is a gRPC server: the content type must be application/grpc.\n", allow: nil
      )
    }
    let path = headers.value(of: ":path") ?? ""
    guard let method = router.methods[path] else {
      throw .status(RPCStatus(DFSError(.unimplemented, "this server has no method \(path.prefix(200))")))
    }
    self.method = method
    do {
      timeout = try headers.value(of: "grpc-timeout").map { try RPCTimeout.decode($0) }
      metadata = try Self.metadata(headers)
    } catch {
      throw .status(RPCStatus(wrapping: error))
    }
    let name = headers.value(of: "grpc-encoding") ?? "identity"
    guard let encoding = MessageEncoding(rawValue: name) else {
      throw .status(
        RPCStatus(.unimplemented, "the message encoding \"\(name.prefix(32))\" is not known here"))
    }
    self.encoding = encoding
    // Who compresses what it sends is answered likewise.
    responseEncoding = encoding
  }

  /// `application/grpc+proto` and parameters count as well.
  private static func isGRPC(_ headers: HeaderBlock) -> Bool {
    guard let type = headers.value(of: "content-type")?.lowercased(), type.hasPrefix("application/grpc")
    else {
      return false
    }
    guard let next = type.utf8.dropFirst("application/grpc".utf8.count).first else { return true }
    guard next == UInt8(ascii: "+") || next == UInt8(ascii: ";") else { return false }
    return !type.hasPrefix("application/grpc+json")
  }

  private static func metadata(_ headers: HeaderBlock) throws -> Metadata {
    var metadata = Metadata()
    for index in 0..<headers.count where !isProtocols(index, headers) {
      try metadata.appendField(name: headers.name(at: index), value: headers.value(at: index))
    }
    return metadata
  }

  /// The usual fields that are no metadata, told apart without making strings of them.
  private static func isProtocols(_ index: Int, _ headers: HeaderBlock) -> Bool {
    headers.nameStarts(index, with: ":") || headers.nameStarts(index, with: "grpc-")
      || headers.nameStarts(index, with: "content-type") || headers.nameStarts(index, with: "user-agent")
      || headers.isName(index, "te")
  }
}

/// The header lists of responses; the usual ones are made once.
enum ResponseHead {
  static func head(_ encoding: MessageEncoding) -> HeaderList {
    switch encoding {
    case .identity: plainHead
    case .deflate: deflateHead
    case .gzip: gzipHead
    }
  }

  static func trailers(_ status: RPCStatus) -> HeaderList {
    guard status.code != .ok else { return okTrailers }
    var list = HeaderList()
    append(status, to: &list)
    return list
  }

  static func trailersOnly(_ status: RPCStatus) -> HeaderList {
    var list = plainHead
    append(status, to: &list)
    return list
  }

  static func http(status: String, length: Int, allow: String?) -> HeaderList {
    var list = HeaderList([
      ":status": status, "content-type": "text/plain; charset=utf-8", "content-length": String(length),
    ])
    if let allow { list.append("allow", allow) }
    return list
  }

  private static let plainHead = HeaderList([
    ":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": MessageEncoding.accepted,
  ])
  private static let deflateHead = encoded(.deflate)
  private static let gzipHead = encoded(.gzip)
  private static let okTrailers = HeaderList(["grpc-status": "0"])

  private static func encoded(_ encoding: MessageEncoding) -> HeaderList {
    var list = plainHead
    list.append("grpc-encoding", encoding.rawValue)
    return list
  }

  private static func append(_ status: RPCStatus, to list: inout HeaderList) {
    list.append("grpc-status", String(status.code.rawValue))
    if !status.message.isEmpty {
      list.append("grpc-message", StatusMessage.encode(status.message), isIndexed: false)
    }
    if !status.details.isEmpty {
      list.append("grpc-status-details-bin", Base64.encode(status.details), isIndexed: false)
    }
  }
}
