import DFSCore
import DFSTransport
import NIOCore

/// One call at the server: takes the stream's events on the loop, runs the handler as a task on the same
/// loop, and ends the stream with the status that the handler, the deadline or the peer brings about,
/// whichever is first.
final class ServerCall: HTTP2StreamDelegate, @unchecked Sendable {
  // SAFETY: every `var` is touched on the stream's loop only; the task's end goes there too.
  let context: CallContext
  let outbox: CallOutbox
  private let method: ServedMethod
  private let service: RPCService
  private let stream: HTTP2Stream
  private let encoding: MessageEncoding
  private let limit: Int
  /// Of methods that take many requests.
  private let streamedRequests: CallInbox?
  private var singleRequest: CallInbox.Message?
  private var decoder: MessageDecoder
  private var task: Task<Void, Never>?
  private var deadline: DeadlineEntry?
  private var isOver = false
  private let start = ContinuousClock.now

  init(stream: HTTP2Stream, head: RequestHead, context: CallContext, service: RPCService) {
    self.stream = stream
    self.context = context
    self.service = service
    method = head.method
    encoding = head.encoding
    limit = service.maxRequest(of: head.method.path)
    decoder = MessageDecoder(limit: limit)
    let executor = stream.session.executor
    outbox = CallOutbox(
      stream: stream, executor: executor, loops: service.loops, encoding: head.responseEncoding,
      limit: stream.session.configuration.streamQueue.int, head: ResponseHead.head(head.responseEncoding))
    streamedRequests =
      method.requests == .one
      ? nil
      : CallInbox { count in executor.run { stream.taken(count) } }
  }

  /// Begins to count the time and, where requests are streamed, to run the handler.
  func begin() {
    service.metrics.started(method.path)
    if let time = context.deadline {
      deadline = stream.session.executor.at(time) { [weak self] in self?.deadlinePassed() }
    }
    if method.requests == .many { run() }
  }

  // MARK: - The handler's side

  var inbox: CallInbox {
    guard let streamedRequests else { preconditionFailure("the method takes one request") }
    return streamedRequests
  }

  /// The one request, complete before the handler starts.
  func request() throws -> ByteBuffer {
    guard let message = singleRequest else { throw DFSError(.internal, "the request was read twice") }
    singleRequest = nil
    return try plain(message)
  }

  /// Undoes the compression of a message.
  func plain(_ message: CallInbox.Message) throws -> ByteBuffer {
    message.isCompressed ? try encoding.decompress(message.bytes, limit: limit) : message.bytes
  }

  private func run() {
    task = Task(executorPreference: stream.session.executor) { [self] in
      await CallContext.$current.withValue(context) {
        do {
          try await service.run(method, self)
          end(.ok)
        } catch {
          service.log(error, context)
          end(RPCStatus(wrapping: error))
        }
      }
    }
  }

  // MARK: - The end

  /// Sends `status`, unless the call is over. From any thread.
  private func end(_ status: RPCStatus) {
    stream.session.executor.run { self.finish(status) }
  }

  private func finish(_ status: RPCStatus) {
    guard !isOver else { return }
    over(status.code)
    outbox.sendItems()
    if outbox.isUntouched {
      stream.respond(ResponseHead.trailersOnly(status), isEnd: true)
    } else {
      stream.finish(trailers: ResponseHead.trailers(status))
    }
    outbox.fail(DFSError(.cancelled, "the call is over"))
  }

  private func over(_ code: RPCStatus.Code) {
    isOver = true
    deadline?.cancel()
    deadline = nil
    service.finished(context, code, start.duration(to: .now))
  }

  /// Ends the call although the handler still runs, and cancels that.
  private func abort(_ error: DFSError) {
    guard !isOver else { return }
    streamedRequests?.fail(error)
    finish(RPCStatus(error))
    outbox.fail(error)
    task?.cancel()
  }

  private func deadlinePassed() {
    abort(DFSError(.deadlineExceeded, "the deadline of the call has passed"))
  }

  // MARK: - The stream's side

  func streamReceived(_ headers: HeaderBlock, isEnd: Bool) {
    // A client has no trailers to send in gRPC; what matters is that it is done.
    if isEnd { streamEnded() }
  }

  func streamReceived(_ bytes: UnsafeRawBufferPointer) {
    guard !isOver else { return stream.dropped(bytes.count) }
    defer { stream.received(bytes.count) }
    do {
      try decoder.decode(bytes) { complete($0) }
    } catch {
      abort(DFSError(wrapping: error, "the request can not be read"))
    }
  }

  private func complete(_ message: MessageDecoder.Message) {
    let size = message.bytes.readableBytes + MessageDecoder.prefixLength
    let message = CallInbox.Message(bytes: message.bytes, size: size, isCompressed: message.isCompressed)
    if let streamedRequests {
      stream.queued(size)
      streamedRequests.put(message)
    } else if task == nil {
      stream.completed(size)
      singleRequest = message
      run()
    } else {
      abort(DFSError(.invalidArgument, "\(method.path) takes one request, and a second one came"))
    }
  }

  var room: ReceiveRoom? { isOver ? nil : decoder.room }

  func streamEnded() {
    guard !isOver else { return }
    guard decoder.isAtBoundary else {
      return abort(DFSError(.invalidArgument, "the request ends in the middle of a message"))
    }
    streamedRequests?.finish()
    if method.requests == .one, task == nil {
      abort(DFSError(.invalidArgument, "\(method.path) takes one request, and none came"))
    }
  }

  func streamSent(_ count: Int) { outbox.sent(count) }

  func streamClosed(_ closure: StreamClosure) {
    let error: DFSError =
      switch closure {
      case .finished, .refused, .reset: DFSError(.cancelled, "the caller has cancelled the call")
      case .connectionLost(let error):
        DFSError(.cancelled, "the connection to the caller is gone", cause: error)
      }
    if !isOver { over(.cancelled) }
    streamedRequests?.fail(error)
    outbox.fail(error)
    task?.cancel()
    task = nil
  }

  var isStarving: Bool { streamedRequests?.isStarving ?? true }
}
