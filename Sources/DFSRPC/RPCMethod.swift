/// Whether a call whose fate is unknown may be sent again.
package enum Retry: Sendable {
  case never
  /// The call is a read, or carries a request id.
  case whenSafe
}

/// One request, one response. `path` is `/package.Service/Method`.
package struct UnaryMethod<Request: Sendable, Response: Sendable>: Sendable {
  package let path: String
  package let retry: Retry
  package let request: Marshaller<Request>
  package let response: Marshaller<Response>

  package init(path: String, retry: Retry, request: Marshaller<Request>, response: Marshaller<Response>) {
    self.path = path
    self.retry = retry
    self.request = request
    self.response = response
  }
}

/// One request, many responses.
package struct ServerStreamingMethod<Request: Sendable, Response: Sendable>: Sendable {
  package let path: String
  package let retry: Retry
  package let request: Marshaller<Request>
  package let response: Marshaller<Response>

  package init(path: String, retry: Retry, request: Marshaller<Request>, response: Marshaller<Response>) {
    self.path = path
    self.retry = retry
    self.request = request
    self.response = response
  }
}

/// Many requests, one response.
package struct ClientStreamingMethod<Request: Sendable, Response: Sendable>: Sendable {
  package let path: String
  package let retry: Retry
  package let request: Marshaller<Request>
  package let response: Marshaller<Response>

  package init(path: String, retry: Retry, request: Marshaller<Request>, response: Marshaller<Response>) {
    self.path = path
    self.retry = retry
    self.request = request
    self.response = response
  }
}

/// Many requests, many responses, in any order.
package struct BidirectionalMethod<Request: Sendable, Response: Sendable>: Sendable {
  package let path: String
  package let retry: Retry
  package let request: Marshaller<Request>
  package let response: Marshaller<Response>

  package init(path: String, retry: Retry, request: Marshaller<Request>, response: Marshaller<Response>) {
    self.path = path
    self.retry = retry
    self.request = request
    self.response = response
  }
}
