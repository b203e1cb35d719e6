/// Runs around every handler of a server: for what all methods have in common, such as who may call, counting
/// and logging. Several nest, the first outermost.
package protocol ServerInterceptor: Sendable {
  /// Calls `next` once to go on, or throws to refuse the call. `next` throws what the handler threw.
  func intercept(_ context: CallContext, _ next: @Sendable () async throws -> Void) async throws
}

/// Runs around every call of a channel, retries included. Several nest, the first outermost.
package protocol ClientInterceptor: Sendable {
  /// Calls `next` once, with the options as they are or changed. `next` throws how the call failed.
  nonisolated(nonsending) func intercept<Result>(
    _ path: String, _ options: CallOptions,
    _ next: nonisolated(nonsending) (CallOptions) async throws -> Result
  ) async throws -> Result
}

extension ServedMethod {
  func intercepted(by interceptors: [any ServerInterceptor]) -> ServedMethod {
    interceptors.reversed().reduce(self) { method, interceptor in
      ServedMethod(path: method.path, requests: method.requests) { call in
        try await interceptor.intercept(call.context) { try await method.run(call) }
      }
    }
  }
}
