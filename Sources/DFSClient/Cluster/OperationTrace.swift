import DFSRPC

/// Names one operation of a client, so that its calls can be followed through every process's log.
package enum OperationTrace {
  @TaskLocal package static var id: String?

  /// Runs `body` under a new name, unless it is part of an operation that has one.
  static func run<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async rethrows -> Result {
    if id != nil { return try await body() }
    return try await $id.withValue(String(UInt64.random(in: 1...UInt64.max), radix: 16), operation: body)
  }

  static var metadata: Metadata {
    var metadata = Metadata()
    // The name is made here and is always valid.
    if let id { try? metadata.append(id, for: CallContext.traceField) }
    return metadata
  }
}
