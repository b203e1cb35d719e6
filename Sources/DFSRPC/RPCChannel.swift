package import DFSCore
package import DFSTransport
package import Logging

/// Calls to one logical server that may have several endpoints.
package final class RPCChannel: Sendable {
  package struct Configuration: Sendable {
    /// Encryption; nothing means plain HTTP/2 with prior knowledge.
    package var security: (any ChannelSecurity)?
    package var http2 = HTTP2Configuration()
    package var connectTimeout: Duration = .seconds(3)
    /// A larger response message is refused with `.exhausted`.
    package var maxResponse: ByteCount = .mib(4)

    package init() {}
  }

  package init(
    endpoints: [Endpoint], configuration: Configuration, loops: NetworkLoops, logger: Logger
  ) {}

  package func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, options: CallOptions = CallOptions()
  ) async throws -> Response {
    throw DFSError(.unimplemented, "no transport yet")
  }

  package func call<Request, Response, Result>(
    _ method: ServerStreamingMethod<Request, Response>, _ request: Request,
    options: CallOptions = CallOptions(), _ body: (MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    throw DFSError(.unimplemented, "no transport yet")
  }

  package func call<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>, options: CallOptions = CallOptions(),
    _ body: (MessageWriter<Request>) async throws -> Void
  ) async throws -> Response {
    throw DFSError(.unimplemented, "no transport yet")
  }

  package func call<Request, Response, Result>(
    _ method: BidirectionalMethod<Request, Response>, options: CallOptions = CallOptions(),
    _ body: (MessageWriter<Request>, MessageReader<Response>) async throws -> Result
  ) async throws -> Result {
    throw DFSError(.unimplemented, "no transport yet")
  }

  package func close() async {}
}
