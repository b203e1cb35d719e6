import DFSCore
import DFSTransport
import NIOConcurrencyHelpers
import NIOCore

/// One call at the client: takes the stream's events on the loop and ends with the status that the
/// server, the deadline or the caller brings about, whichever is first.
final class ClientCall: HTTP2StreamDelegate, @unchecked Sendable {
  // SAFETY: every `var` is touched on the session's loop only.
  let outbox: CallOutbox
  let inbox: CallInbox
  /// Done when the call is over: why it failed, if it did.
  let outcome = Once<DFSError?>()
  private let session: HTTP2Session
  private let retry: Retry
  private let path: String
  private let limit: Int
  private let takenStream: NIOLockedValueBox<HTTP2Stream?>
  private var stream: HTTP2Stream?
  private var decoder: MessageDecoder
  private var deadline: DeadlineEntry?
  private var hasHead = false
  private var isOver = false

  init(path: String, retry: Retry, session: HTTP2Session, loops: NetworkLoops, options: ClientCallOptions) {
    self.path = path
    self.retry = retry
    self.session = session
    limit = options.maxResponse
    decoder = MessageDecoder(limit: options.maxResponse)
    let executor = session.executor
    let takenStream = NIOLockedValueBox<HTTP2Stream?>(nil)
    self.takenStream = takenStream
    outbox = CallOutbox(
      stream: nil, executor: executor, loops: loops, encoding: options.encoding,
      limit: session.configuration.streamQueue.int)
    inbox = CallInbox { count in
      executor.run { takenStream.withLockedValue { $0 }?.taken(count) }
    }
  }

  /// Opens the stream. On the loop.
  func start(_ headers: HeaderList, deadline: ContinuousClock.Instant?) {
    guard !isOver else { return }
    guard let stream = session.open(headers, isEnd: false, delegate: self) else {
      return end(Self.notProcessed("the connection to \(session.peer) takes no more calls"))
    }
    self.stream = stream
    takenStream.withLockedValue { $0 = stream }
    if let deadline {
      self.deadline = session.executor.at(deadline) { [weak self] in self?.deadlinePassed() }
    }
    outbox.attach(stream)
  }

  /// The caller wants no more of it. From any thread.
  func cancel() {
    session.executor.run { self.abort(DFSError(.cancelled, "the call was cancelled")) }
  }

  /// Undoes the compression of a message.
  func plain(_ message: CallInbox.Message) throws -> ByteBuffer {
    guard message.isCompressed else { return message.bytes }
    let encoding = responseEncoding.withLockedValue { $0 }
    return try encoding.decompress(message.bytes, limit: limit)
  }
  private let responseEncoding = NIOLockedValueBox(MessageEncoding.identity)

  // MARK: - The end

  private func deadlinePassed() {
    abort(DFSError(.deadlineExceeded, "\(session.peer) did not answer \(path) in time"))
  }

  private func abort(_ error: DFSError) {
    guard !isOver else { return }
    stream?.reset(.cancel)
    inbox.fail(error)
    end(error)
  }

  private func end(_ error: DFSError?) {
    guard !isOver else { return }
    isOver = true
    deadline?.cancel()
    deadline = nil
    inbox.finish(error)
    outbox.fail(error ?? DFSError(.cancelled, "the server has ended the call"))
    outcome.resolve(error)
  }

  // MARK: - The stream's side

  func streamReceived(_ headers: HeaderBlock, isEnd: Bool) {
    guard !isOver else { return }
    if !hasHead {
      let status = headers.value(of: ":status") ?? ""
      if status.utf8.first == UInt8(ascii: "1"), !isEnd { return }
      hasHead = true
      if !(isEnd && headers.value(of: "grpc-status") != nil), let error = refusal(headers, status) {
        return abort(error)
      }
      let name = headers.value(of: "grpc-encoding") ?? "identity"
      guard let encoding = MessageEncoding(rawValue: name) else {
        return abort(
          DFSError(.unimplemented, "\(session.peer) answers in the unknown encoding \"\(name.prefix(32))\""))
      }
      responseEncoding.withLockedValue { $0 = encoding }
    }
    if isEnd { end(status(of: headers)) }
  }

  /// Why a response head is no gRPC.
  private func refusal(_ headers: HeaderBlock, _ status: String) -> DFSError? {
    if status != "200" {
      let code = RPCStatus.code(httpStatus: Int(status) ?? 0).nearest ?? .internal
      return DFSError(code, "\(session.peer) answered \(path) with HTTP status \(status.prefix(16))")
    }
    let type = headers.value(of: "content-type") ?? "none"
    guard !type.hasPrefix("application/grpc") else { return nil }
    return DFSError(
      .internal, "\(session.peer) answered with the content type \"\(type.prefix(64))\": it is no gRPC server"
    )
  }

  private func status(of headers: HeaderBlock) -> DFSError? {
    guard let code = headers.value(of: "grpc-status") else {
      return DFSError(.internal, "\(session.peer) ended \(path) without a status")
    }
    if code == "0" {
      return decoder.isAtBoundary
        ? nil : DFSError(.internal, "the answer of \(session.peer) ends in the middle of a message")
    }
    // Details that can not be read leave the code and the message to speak for themselves.
    let details = headers.value(of: "grpc-status-details-bin").flatMap { Base64.decode($0.utf8) }
    let message = StatusMessage.decode(headers.value(of: "grpc-message") ?? "")
    return RPCStatus(RPCStatus.code(header: code), message, details: details ?? []).error
  }

  func streamReceived(_ bytes: UnsafeRawBufferPointer) {
    guard !isOver else {
      stream?.dropped(bytes.count)
      return
    }
    defer { stream?.received(bytes.count) }
    do {
      try decoder.decode(bytes) { message in
        let size = message.bytes.readableBytes + MessageDecoder.prefixLength
        stream?.queued(size)
        inbox.put(CallInbox.Message(bytes: message.bytes, size: size, isCompressed: message.isCompressed))
      }
    } catch {
      abort(DFSError(wrapping: error, "the answer of \(session.peer) can not be read"))
    }
  }

  var room: ReceiveRoom? { isOver ? nil : decoder.room }

  func streamEnded() {
    guard !isOver else { return }
    abort(DFSError(.internal, "\(session.peer) ended \(path) without a status"))
  }

  func streamSent(_ count: Int) { outbox.sent(count) }

  func streamClosed(_ closure: StreamClosure) {
    guard !isOver else { return }
    let error: DFSError =
      switch closure {
      case .refused: Self.notProcessed("\(session.peer) refused the call before it began")
      case .finished: lost("\(session.peer) ended \(path) without a status", cause: nil)
      case .reset(let code):
        DFSError(
          RPCStatus.code(http2Error: code).nearest ?? .internal,
          "\(session.peer) reset \(path) (HTTP/2 error \(code))")
      case .connectionLost(let cause):
        lost("the connection to \(session.peer) was lost during \(path)", cause: cause)
      }
    inbox.fail(error)
    end(error)
  }

  /// A call that was on its way when the connection broke: only one that never left counts as not done.
  private func lost(_ message: String, cause: DFSError?) -> DFSError {
    guard stream?.isSent == true else { return Self.notProcessed(message, cause: cause) }
    guard retry == .whenSafe else { return DFSError(.outcomeUnknown, message, cause: cause) }
    return DFSError(.unavailable, message, cause: MaybeProcessed(cause: cause))
  }

  private static func notProcessed(_ message: String, cause: DFSError? = nil) -> DFSError {
    DFSError(.unavailable, message, cause: NotProcessed(cause: cause))
  }

  var isStarving: Bool { inbox.isStarving }
}

/// A value that comes once. Any number of tasks may wait for it; they are not interrupted by cancellation.
final class Once<Value: Sendable>: Sendable {
  private enum State {
    case waiting([UnsafeContinuation<Value, Never>])
    case resolved(Value)
  }

  private let state = NIOLockedValueBox(State.waiting([]))

  /// The first value counts.
  func resolve(_ value: Value) {
    let waiters: [UnsafeContinuation<Value, Never>] = state.withLockedValue { state in
      guard case .waiting(let waiters) = state else { return [] }
      state = .resolved(value)
      return waiters
    }
    for waiter in waiters { waiter.resume(returning: value) }
  }

  var isResolved: Bool {
    state.withLockedValue { state in
      if case .resolved = state { true } else { false }
    }
  }

  func value() async -> Value {
    await withUnsafeContinuation { continuation in
      let value: Value? = state.withLockedValue { state in
        switch state {
        case .resolved(let value): return value
        case .waiting(let waiters):
          state = .waiting(waiters + [continuation])
          return nil
        }
      }
      if let value { continuation.resume(returning: value) }
    }
  }
}
