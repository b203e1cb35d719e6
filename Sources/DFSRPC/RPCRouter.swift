/// The methods a server offers. A value: put it together, then hand it to a server.
package struct RPCRouter: Sendable {
  private(set) var methods: [String: ServedMethod] = [:]

  package init() {}

  /// The paths of all methods, sorted.
  package var paths: [String] { methods.keys.sorted() }

  package mutating func handle<Request, Response>(
    _ method: UnaryMethod<Request, Response>,
    _ body: @escaping @Sendable (Request, CallContext) async throws -> Response
  ) {
    add(method.path, requests: .one) { call in
      let response = try await body(method.request.decode(call.request()), call.context)
      try await call.outbox.write(method.response.encode(response))
    }
  }

  package mutating func handle<Request, Response>(
    _ method: ServerStreamingMethod<Request, Response>,
    _ body: @escaping @Sendable (Request, MessageWriter<Response>, CallContext) async throws -> Void
  ) {
    add(method.path, requests: .one) { call in
      let writer = MessageWriter(outbox: call.outbox, encode: method.response.encode)
      try await body(method.request.decode(call.request()), writer, call.context)
    }
  }

  package mutating func handle<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>,
    _ body: @escaping @Sendable (MessageReader<Request>, CallContext) async throws -> Response
  ) {
    add(method.path, requests: .many) { call in
      let reader = MessageReader(inbox: call.inbox, unpack: call.plain, decode: method.request.decode)
      let response = try await body(reader, call.context)
      try await call.outbox.write(method.response.encode(response))
    }
  }

  package mutating func handle<Request, Response>(
    _ method: BidirectionalMethod<Request, Response>,
    _ body:
      @escaping @Sendable (MessageReader<Request>, MessageWriter<Response>, CallContext) async throws -> Void
  ) {
    add(method.path, requests: .many) { call in
      let reader = MessageReader(inbox: call.inbox, unpack: call.plain, decode: method.request.decode)
      let writer = MessageWriter(outbox: call.outbox, encode: method.response.encode)
      try await body(reader, writer, call.context)
    }
  }

  /// The same methods, each with the interceptors around its handler.
  func intercepted(by interceptors: [any ServerInterceptor]) -> RPCRouter {
    guard !interceptors.isEmpty else { return self }
    var router = self
    router.methods = methods.mapValues { $0.intercepted(by: interceptors) }
    return router
  }

  private mutating func add(
    _ path: String, requests: ServedMethod.Requests,
    _ run: @escaping @Sendable (ServerCall) async throws -> Void
  ) {
    precondition(methods[path] == nil, "\(path) has a handler already")
    methods[path] = ServedMethod(path: path, requests: requests, run: run)
  }
}

/// A method without its types: what the server needs to run it.
struct ServedMethod: Sendable {
  enum Requests: Sendable {
    /// The handler starts when the one request is complete.
    case one
    /// The handler starts with the call.
    case many
  }

  let path: String
  let requests: Requests
  let run: @Sendable (ServerCall) async throws -> Void
}
