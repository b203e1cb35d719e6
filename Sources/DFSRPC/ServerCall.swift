import DFSCore
import NIOCore

/// One call at the server.
final class ServerCall: Sendable {
  let context: CallContext
  let inbox: CallInbox
  let outbox: CallOutbox

  init(context: CallContext, inbox: CallInbox, outbox: CallOutbox) {
    self.context = context
    self.inbox = inbox
    self.outbox = outbox
  }

  func request() async throws -> ByteBuffer {
    guard let bytes = try await inbox.next() else {
      throw DFSError(.invalidArgument, "the call has no request message")
    }
    return bytes
  }
}

/// The messages of one call on their way out.
final class CallOutbox: Sendable {
  func write(_ message: OutgoingMessage) async throws {
    throw DFSError(.unimplemented, "no transport yet")
  }
  func finish() async throws {}
}
