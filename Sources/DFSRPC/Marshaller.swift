package import DFSCore
package import NIOCore

/// Encoded bytes of one message: `head`, then optionally payload that nobody copies.
package struct OutgoingMessage: Sendable {
  package enum Body: Sendable {
    case none
    case buffer(ByteBuffer)
    /// Memory of a budget, which is held until the bytes have left.
    case lent(ByteBuffer, MemoryLoan)
    /// Sent by `sendfile` where nothing touches the bytes. The call keeps a duplicate of the descriptor:
    /// the caller may close its own as soon as the write has returned. Bring the region into the page
    /// cache first: a cold page would block the loop.
    case file(FileRegion)
  }

  package var head: ByteBuffer
  package var body: Body

  package init(head: ByteBuffer, body: Body = .none) {
    self.head = head
    self.body = body
  }

  /// The message's length without its gRPC prefix.
  package var byteCount: Int {
    switch body {
    case .none: head.readableBytes
    case .buffer(let buffer), .lent(let buffer, _): head.readableBytes + buffer.readableBytes
    case .file(let region): head.readableBytes + region.readableBytes
    }
  }
}

/// How messages of one type become bytes and back.
package struct Marshaller<Message: Sendable>: Sendable {
  package let encode: @Sendable (Message) throws -> OutgoingMessage
  /// Throws `DFSError(.invalidArgument)` on malformed bytes.
  package let decode: @Sendable (ByteBuffer) throws -> Message

  package init(
    encode: @escaping @Sendable (Message) throws -> OutgoingMessage,
    decode: @escaping @Sendable (ByteBuffer) throws -> Message
  ) {
    self.encode = encode
    self.decode = decode
  }
}
