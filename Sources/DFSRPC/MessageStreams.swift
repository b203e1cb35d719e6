import NIOCore

/// The incoming messages of one call. Credit goes back to the peer as messages are taken. One task at a time
/// reads; it may be on any thread.
package struct MessageReader<Message: Sendable>: Sendable {
  let inbox: CallInbox
  /// Undoes a message's compression.
  let unpack: @Sendable (CallInbox.Message) throws -> ByteBuffer
  let decode: @Sendable (ByteBuffer) throws -> Message

  /// The next message, or `nil` at the peer's half-close. Throws why the call ended early,
  /// `.invalidArgument` for bytes that do not decode, `.cancelled` when the reading task is.
  package func next() async throws -> Message? {
    guard let message = try await inbox.next() else { return nil }
    return try decode(unpack(message))
  }
}

extension MessageReader: AsyncSequence {
  package struct AsyncIterator: AsyncIteratorProtocol {
    let reader: MessageReader
    package mutating func next() async throws -> Message? { try await reader.next() }
  }

  package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: self) }
}

/// The outgoing messages of one call.
package struct MessageWriter<Message: Sendable>: Sendable {
  let outbox: CallOutbox
  let encode: @Sendable (Message) throws -> OutgoingMessage

  /// Queues one message; waits first while too much of this call is queued. Returning does not mean that
  /// the peer has it. Throws why the call ended, `.cancelled` when the writing task is.
  package func write(_ message: Message) async throws {
    try await outbox.write(encode(message))
  }

  /// On a client: the half-close, after which nothing is written. On a server it does nothing; the stream
  /// ends when the handler returns.
  package func finish() async throws { outbox.finish() }
}
