package import DFSCore

/// HTTP/2 error codes we send (RFC 9113, section 7).
package enum HTTP2ErrorCode: UInt32, Sendable {
  case none = 0x0
  case protocolError = 0x1
  case internalError = 0x2
  case refusedStream = 0x7
  case cancel = 0x8
  case enhanceYourCalm = 0xB
}

/// How a stream ended.
package enum StreamClosure: Sendable {
  /// Both sides said all they had to say.
  case finished
  /// The peer certainly did not act on the stream: it may be sent again.
  case refused
  /// One side reset it, with the HTTP/2 error code.
  case reset(UInt32)
  case connectionLost(DFSError)
}

/// What a stream tells the call that owns it. Every function is called on the connection's loop, most of them
/// inside HTTP/2's own callbacks: they may submit anything, but must not block or wait.
package protocol HTTP2StreamDelegate: AnyObject {
  /// A header list: first the head, in the end perhaps trailers.
  func streamReceived(_ headers: HeaderBlock, isEnd: Bool)
  /// Payload. The bytes live only as long as the call. Each is answered for by `HTTP2Stream`'s credit
  /// functions.
  func streamReceived(_ bytes: UnsafeRawBufferPointer)
  /// Where the next payload will go, when that is known: what was written there comes with `streamReceived`
  /// all the same, or never, and then counts for nothing.
  var room: ReceiveRoom? { get }
  /// The peer's half-close after payload.
  func streamEnded()
  /// So many queued bytes went to the socket.
  func streamSent(_ count: Int)
  /// The last call; releases every waiter.
  func streamClosed(_ closure: StreamClosure)
  /// Whether a reader waits for bytes of this stream.
  var isStarving: Bool { get }
}

/// One HTTP/2 stream, seen from the call that owns it. Confined to its connection's loop.
package final class HTTP2Stream: @unchecked Sendable {
  // SAFETY: every stored property is only touched on the session's loop, which each function checks in debug
  // builds; the class is Sendable so that calls can carry it to that loop.
  package let session: HTTP2Session
  package internal(set) var id: Int32
  package var delegate: (any HTTP2StreamDelegate)?

  var queue = PayloadQueue()
  var credit: StreamCredit
  /// Bytes of the message that is not complete yet.
  var arriving = 0
  var isFinished = false
  var trailers: HeaderList?
  /// HTTP/2 asked for payload when there was none, and waits to be told of more.
  var isDeferred = false
  var isRemoteClosed = false
  /// A server has the request's head.
  var hasHead = false
  /// The request's head went to the socket: from here on the peer may have acted on it.
  package internal(set) var isSent = false
  var isClosed = false

  init(session: HTTP2Session, id: Int32) {
    self.session = session
    self.id = id
    credit = StreamCredit(window: session.configuration.streamWindow.int)
  }

  /// A server's response head. With `isEnd` it is the whole response.
  package func respond(_ headers: HeaderList, isEnd: Bool = false) {
    session.submitResponse(headers, isEnd: isEnd, to: self)
  }

  /// Queues payload behind what is queued already.
  package func send(_ payload: Payload) {
    session.loop.assertInEventLoop()
    guard !isClosed, !isFinished else { return }
    queue.append(payload)
    session.countQueued(payload.byteCount)
  }

  /// Makes queued payload go out. `send` leaves this to its caller, so that a message of several pieces
  /// costs it once.
  package func resume() {
    guard !isClosed else { return }
    session.resume(self)
  }

  /// Ends our side after what is queued: with trailers on a server, without on a client.
  package func finish(trailers: HeaderList? = nil) {
    session.loop.assertInEventLoop()
    guard !isClosed, !isFinished else { return }
    isFinished = true
    self.trailers = trailers
    session.resume(self)
  }

  /// Ends both sides at once; what is queued is dropped.
  package func reset(_ code: HTTP2ErrorCode) {
    session.loop.assertInEventLoop()
    guard !isClosed else { return }
    session.submitReset(self, code)
  }

  /// Payload arrived and went into messages, complete or not. Call it after `queued` and `completed`.
  package func received(_ count: Int) {
    arriving += count
    session.countArriving(count)
    session.give(credit.received(count), to: self)
  }

  /// Payload arrived that nobody wants any more.
  package func dropped(_ count: Int) { session.give(credit.received(count), to: self) }

  /// A message of `count` bytes became complete and waits for its reader.
  package func queued(_ count: Int) {
    credit.queued(count)
    completed(count)
  }

  /// A message of `count` bytes became complete and was taken at once.
  package func completed(_ count: Int) {
    arriving -= count
    session.countArriving(-count)
  }

  /// The reader took a message of `count` bytes.
  package func taken(_ count: Int) {
    session.loop.assertInEventLoop()
    guard !isClosed else { return }
    session.give(credit.taken(count), to: self)
  }
}
