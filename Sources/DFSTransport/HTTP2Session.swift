import CNghttp2
package import DFSCore
import Logging
package import NIOCore
import Synchronization

/// What a connection tells its owner, on its loop.
package protocol HTTP2SessionDelegate: AnyObject {
  /// A peer opened a stream, with this head. Servers only. Nothing means that it is answered already:
  /// what still comes is dropped.
  func sessionOpened(_ stream: HTTP2Stream, _ head: HeaderBlock, isEnd: Bool) -> (any HTTP2StreamDelegate)?
  /// The peer's SETTINGS are here: the connection works.
  func sessionBecameReady()
  /// No stream can be opened any more; running ones go on.
  func sessionIsDraining()
  /// The last call. No error means that it was closed as planned.
  func sessionClosed(_ error: DFSError?)
}

/// One HTTP/2 connection: a channel handler that owns an nghttp2 session.
///
/// Windows are opened by us alone, as the application consumes. Payload is never copied on the way out,
/// except small pieces, which are gathered. Output is produced when the loop's tick ends
/// (`flushPending`), never inside a callback of nghttp2, and stops when the channel does not take more.
/// All limits on what a peer may do are in `HTTP2Configuration`.
package final class HTTP2Session: PendingOutput, @unchecked Sendable {
  // SAFETY: every property but the constants is only touched on `loop`; the class is Sendable so that
  // calls can carry it there.
  package enum Side: Sendable { case server, client }

  package let side: Side
  package let executor: LoopExecutor
  package let configuration: HTTP2Configuration
  package var loop: any EventLoop { executor.loop }
  let budget: ReceiveBudget
  let logger: Logger
  /// The nghttp2 session, which lives exactly as long as this object.
  let handle: OpaquePointer
  /// Who the peer is: its address, or the name in its certificate.
  package internal(set) var peer = "unknown"
  /// Whether file payload can go out by `sendfile`.
  package let isPlain: Bool

  var delegate: (any HTTP2SessionDelegate)?
  var context: ChannelHandlerContext?
  var streams: [Int32: HTTP2Stream] = [:]
  var headers = HeaderBlock()
  var headersStream: HTTP2Stream?
  var arrivingFrame = ArrivingFrame()
  /// What may still be read directly until the loop's turn is over.
  var directRest = HTTP2Session.directBound

  /// Small output that goes out as one piece.
  var staging = ByteBuffer()
  var writtenSinceFlush = 0
  /// What all streams together have queued.
  private(set) var queuedBytes = 0
  var isBlocked = false
  private var isDirty = false
  private var isPumping = false
  var isInCallback = false
  var hasStarted = false
  var isClosing = false
  var isDead = false
  package private(set) var isDraining = false
  var drainStep = DrainStep.none

  var connectionCredit = ConnectionCredit()
  /// Bytes of messages that are not complete yet, over all streams.
  private var arriving = 0
  private var isCrowded = false
  /// Credit for such bytes that is kept back, because the process has too many of them.
  private(set) var keptBack = 0
  /// Bytes the peer may still send on the whole connection.
  var remainingWindow = ConnectionCredit.floor
  var isHoldingBudget = false
  var isLoanScheduled = false
  var controlFrames: RateLimit
  var timers: ConnectionTimers
  var timer: Scheduled<Void>?
  var timerDue = Duration.zero
  /// Why the connection ends, when we know better than the socket does.
  var failure: DFSError?

  enum DrainStep { case none, noticed, final }

  init(
    side: Side, executor: LoopExecutor, configuration: HTTP2Configuration, budget: ReceiveBudget,
    isPlain: Bool, logger: Logger
  ) throws {
    self.side = side
    self.executor = executor
    self.configuration = configuration
    self.budget = budget
    self.isPlain = isPlain
    self.logger = logger
    handle = try NGHTTP2.makeSession(side: side, configuration: configuration)
    let now = Self.now()
    controlFrames = RateLimit(
      burst: configuration.controlBurst, perSecond: configuration.controlPerSecond, now: now)
    timers = ConnectionTimers(configuration, side: side, now: now)
    // SAFETY: nghttp2 calls back only from functions that this object calls, so it is alive then.
    nghttp2_session_set_user_data(handle, Unmanaged.passUnretained(self).toOpaque())
  }

  deinit { nghttp2_session_del(handle) }

  static func now() -> Duration { .nanoseconds(Int64(NIODeadline.now().uptimeNanoseconds)) }

  /// How many streams are open.
  package var streamCount: Int { streams.count }
  /// Whether the connection has more queued than it should: writers of every stream wait. Readable on any
  /// thread.
  package var isCongested: Bool { congested.load(ordering: .relaxed) }
  private let congested = Atomic(false)

  func countQueued(_ count: Int) {
    queuedBytes += count
    if queuedBytes >= configuration.connectionQueue.int { congested.store(true, ordering: .relaxed) }
  }

  private func countSent(_ count: Int) {
    queuedBytes -= count
    guard congested.load(ordering: .relaxed), queuedBytes <= configuration.connectionQueue.int / 2 else {
      return
    }
    congested.store(false, ordering: .relaxed)
    for stream in streams.values { stream.delegate?.streamSent(0) }
  }

  // MARK: - Streams

  /// Opens a stream at a client. `nil` when the connection takes no more.
  package func open(
    _ headers: HeaderList, isEnd: Bool, delegate: any HTTP2StreamDelegate
  ) -> HTTP2Stream? {
    loop.assertInEventLoop()
    guard !isDead, !isDraining else { return nil }
    let stream = HTTP2Stream(session: self, id: -1)
    stream.delegate = delegate
    stream.isFinished = isEnd
    let id = headers.withFields { fields, count in
      var provider = NGHTTP2.provider(for: stream)
      return withUnsafePointer(to: &provider) { provider in
        nghttp2_submit_request(
          handle, nil, fields, count, isEnd ? nil : provider, Unmanaged.passUnretained(stream).toOpaque())
      }
    }
    guard id > 0 else { return nil }
    stream.id = id
    let wasIdle = streams.isEmpty
    add(stream)
    if wasIdle { armTimer() }
    markDirty()
    return isDead ? nil : stream
  }

  func add(_ stream: HTTP2Stream) {
    if streams.isEmpty { becomeBusy() }
    streams[stream.id] = stream
  }

  func submitResponse(_ headers: HeaderList, isEnd: Bool, to stream: HTTP2Stream) {
    loop.assertInEventLoop()
    guard !stream.isClosed, !isDead else { return }
    if isEnd { stream.isFinished = true }
    let result = headers.withFields { fields, count in
      var provider = NGHTTP2.provider(for: stream)
      return withUnsafePointer(to: &provider) {
        nghttp2_submit_response(handle, stream.id, fields, count, isEnd ? nil : $0)
      }
    }
    if result != 0 { submitReset(stream, .internalError) }
    markDirty()
  }

  func submitReset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
    guard !isDead else { return }
    countSent(stream.queue.byteCount)
    stream.queue.removeAll()
    stream.isFinished = true
    stream.trailers = nil
    nghttp2_submit_rst_stream(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
    markDirty()
  }

  func resume(_ stream: HTTP2Stream) {
    if stream.isDeferred {
      stream.isDeferred = false
      nghttp2_session_resume_data(handle, stream.id)
    }
    markDirty()
  }

  // MARK: - Output

  func markDirty() {
    guard !isDirty, hasStarted, !isDead else { return }
    isDirty = true
    executor.flushLater(self)
  }

  func flushPending() {
    isDirty = false
    pump()
  }

  /// Turns what nghttp2 has to send into writes, until it has no more or the channel is full.
  private func pump() {
    guard !isPumping, !isInCallback, !isDead, let context else { return }
    isPumping = true
    while true {
      writtenSinceFlush = 0
      let isDone = serialise()
      writeStaging(context)
      if writtenSinceFlush > 0 { context.flush() }
      if isDone || isDead || !context.channel.isWritable { break }
    }
    isPumping = false
    closeIfFinished()
  }

  /// Returns whether everything is out; otherwise the channel, or the bound between flushes, stopped it.
  private func serialise() -> Bool {
    isBlocked = false
    isInCallback = true
    defer { isInCallback = false }
    while !isBlocked {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(handle, &bytes)
      guard count > 0 else {
        if count < 0 { failure = failure ?? NGHTTP2.error(Int32(count), peer: peer) }
        return !isBlocked
      }
      staging.writeBytes(UnsafeRawBufferPointer(start: bytes, count: count))
      writtenSinceFlush += count
      if writtenSinceFlush >= Self.flushBound { isBlocked = true }
    }
    return false
  }

  static let flushBound = 2 << 20
  private static let copiedPayload = 8 << 10

  func writeStaging(_ context: ChannelHandlerContext) {
    guard staging.readableBytes > 0 else { return }
    context.write(NIOAny(IOData.byteBuffer(staging)), promise: nil)
    // Takes new storage only while the channel still holds the old.
    if staging.storageCapacity > 256 << 10 {
      staging = context.channel.allocator.buffer(capacity: 16 << 10)
    } else {
      staging.clear(minimumCapacity: 4 << 10)
    }
  }

  enum DataResult { case sent, blocked, dropped }

  /// One DATA frame, called by nghttp2 while it serialises, and again after it was blocked.
  func sendData(of stream: HTTP2Stream, header: UnsafeRawBufferPointer, count: Int) -> DataResult {
    // A stream that was reset after nghttp2 had announced the frame has nothing to send any more.
    guard stream.queue.byteCount >= count else { return .dropped }
    guard let context, context.channel.isWritable, writtenSinceFlush < Self.flushBound else {
      isBlocked = true
      return .blocked
    }
    staging.writeBytes(header)
    stream.queue.take(count) { part in
      switch part {
      case .short(var bytes):
        while bytes.count > 0 { staging.writeInteger(bytes.takeFirst()) }
      case .buffer(var buffer) where buffer.readableBytes <= Self.copiedPayload:
        staging.writeBuffer(&buffer)
      case .buffer(let buffer):
        writeStaging(context)
        context.write(NIOAny(IOData.byteBuffer(buffer)), promise: nil)
      case .lent(let buffer, let loan): write(.byteBuffer(buffer), holding: loan, context)
      case .file(let slice): write(.fileRegion(slice.region), holding: slice.file, context)
      }
    }
    writtenSinceFlush += header.count + count
    countSent(count)
    TransportMetrics.sent.increment(by: count)
    stream.delegate?.streamSent(count)
    return .sent
  }

  /// Keeps `owner` until the socket has taken the bytes, or never will.
  private func write(
    _ bytes: IOData, holding owner: some AnyObject & Sendable, _ context: ChannelHandlerContext
  ) {
    writeStaging(context)
    let promise = loop.makePromise(of: Void.self)
    context.write(NIOAny(bytes), promise: promise)
    promise.futureResult.whenComplete { _ in withExtendedLifetime(owner) {} }
  }

  // MARK: - Credit

  func give(_ grant: StreamCredit.Grant, to stream: HTTP2Stream) {
    if grant.stream > 0, !stream.isRemoteClosed, !stream.isClosed {
      nghttp2_submit_window_update(handle, 0, stream.id, Int32(grant.stream))
      markDirty()
    }
    if grant.connection > 0 { giveToConnection(grant.connection) }
  }

  func countArriving(_ count: Int) {
    arriving += count
    isCrowded = budget.arrived(count)
  }

  /// How much of the incomplete messages may not be given back now. A connection may always have a few.
  private var mustKeepBack: Int { isCrowded ? max(0, arriving - Self.arrivingFloor) : 0 }
  private static let arrivingFloor = 8 << 20

  func giveToConnection(_ count: Int) {
    guard !isDead else { return }
    keptBack += count
    let freed = keptBack - mustKeepBack
    guard freed > 0 else { return }
    keptBack -= freed
    openWindow(by: connectionCredit.consumed(freed, target: windowTarget, budget: adjustBudget))
  }

  /// Gives back what nghttp2 received without telling us: payload of streams that we have reset, and
  /// padding. It counts that as consumed, but each window update of ours lowers its count, so it would
  /// never give it back, and every cancelled download would leave the connection's window smaller. What
  /// it did give back by itself shows as a negative number.
  func creditSwallowed() {
    guard !isDead else { return }
    let open =
      nghttp2_session_get_effective_local_window_size(handle)
      - nghttp2_session_get_effective_recv_data_length(handle)
    let swallowed = remainingWindow - Int(open)
    guard swallowed != 0 else { return }
    remainingWindow = Int(open)
    giveToConnection(swallowed)
  }

  func openWindow(by credit: Int) {
    guard credit > 0 else { return }
    remainingWindow += credit
    nghttp2_submit_window_update(handle, 0, 0, Int32(credit))
    markDirty()
  }

  var windowTarget: Int { min(configuration.connectionWindow.int, budget.share()) }

  /// A connection without streams holds nothing of the budget, so its window may only shrink.
  func adjustBudget(_ wanted: Int) -> Int {
    guard isHoldingBudget else { return min(wanted, 0) }
    guard wanted >= 0 else {
      budget.give(-wanted)
      return wanted
    }
    return budget.take(wanted)
  }

  private func becomeBusy() {
    guard !isHoldingBudget else { return }
    isHoldingBudget = true
    budget.join(taking: connectionCredit.taken)
  }

  func becomeIdle() {
    timers.wasBusy(now: Self.now())
    guard isHoldingBudget else { return }
    isHoldingBudget = false
    budget.leave(returning: connectionCredit.taken)
  }

  /// The peer has used up the window of the connection. If a reader waits all the same, what it needs may
  /// be stuck behind bytes that others do not read: lend a little, now and then, until it moves.
  func considerLoan() {
    guard remainingWindow < 16 << 10, !isLoanScheduled, !isDead else { return }
    isLoanScheduled = true
    loop.scheduleTask(in: .milliseconds(10)) { [weak self] in
      guard let self else { return }
      isLoanScheduled = false
      isCrowded = budget.arrived(0)
      giveToConnection(0)
      guard !isDead, remainingWindow < 16 << 10 else { return }
      let isStuck = streams.values.contains { !$0.isRemoteClosed && $0.delegate?.isStarving == true }
      if isStuck, budget.takeLoan(1 << 20) {
        openWindow(by: connectionCredit.lend(1 << 20))
      } else if !streams.isEmpty {
        considerLoan()
      }
    }
  }

  // MARK: - End

  /// Begins to drain: no new streams, running ones finish, then the connection closes; at the latest
  /// after `grace`.
  package func drain(grace: Duration?) {
    loop.assertInEventLoop()
    guard !isDead else { return }
    timers.beginDrain(until: grace.map { Self.now() + $0 })
    armTimer()
    guard !isDraining else { return }
    isDraining = true
    delegate?.sessionIsDraining()
    guard hasStarted else { return closeChannel() }
    if side == .server {
      // First a notice that refuses nothing: requests already on their way still count. The final GOAWAY
      // follows when the peer has answered a PING sent after the notice, so it has seen it.
      drainStep = .noticed
      nghttp2_submit_shutdown_notice(handle)
      NGHTTP2.submitPing(handle, NGHTTP2.drainPing)
      loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.finishDrain() }
    } else {
      drainStep = .final
      nghttp2_submit_goaway(handle, 0, 0, 0, nil, 0)
    }
    markDirty()
  }

  func finishDrain() {
    guard drainStep == .noticed, !isDead else { return }
    drainStep = .final
    nghttp2_submit_goaway(handle, 0, nghttp2_session_get_last_proc_stream_id(handle), 0, nil, 0)
    markDirty()
  }

  /// The peer sent GOAWAY: it takes no new streams.
  func peerIsGoingAway() {
    guard !isDraining else { return }
    isDraining = true
    timers.beginDrain(until: nil)
    delegate?.sessionIsDraining()
    closeIfFinished()
  }

  /// Ends the connection for a reason of ours, with a GOAWAY that carries it.
  package func terminate(_ code: HTTP2ErrorCode, _ error: DFSError) {
    guard !isDead, !isClosing else { return }
    failure = failure ?? error
    nghttp2_session_terminate_session(handle, code.rawValue)
    markDirty()
    if isInCallback { return }
    pump()
  }

  private func closeIfFinished() {
    guard !isDead, !isClosing else { return }
    let isOver = nghttp2_session_want_read(handle) == 0 && nghttp2_session_want_write(handle) == 0
    let isEmptied =
      isDraining && drainStep != .noticed && streams.isEmpty
      && nghttp2_session_want_write(handle) == 0
    if isOver || isEmptied || (failure != nil && nghttp2_session_want_write(handle) == 0) { closeChannel() }
  }

  /// Closes when everything written is out: NIO's `close` fails pending writes.
  func closeChannel() {
    guard !isClosing, let context else { return }
    isClosing = true
    let promise = context.eventLoop.makePromise(of: Void.self)
    let channel = context.channel
    promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
    context.writeAndFlush(NIOAny(IOData.byteBuffer(ByteBuffer())), promise: promise)
    // A peer that reads nothing must not keep it open.
    loop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
  }

  /// The channel is gone: fails whatever waits. nghttp2 does not report the streams it forgets.
  func die(_ error: DFSError?) {
    guard !isDead else { return }
    isDead = true
    timer?.cancel()
    let reason = failure ?? error ?? DFSError(.unavailable, "the connection to \(peer) was closed")
    let open = streams.values
    streams.removeAll()
    for stream in open { close(stream, .connectionLost(reason)) }
    becomeIdle()
    if hasStarted { budget.close() }
    delegate?.sessionClosed(failure ?? error)
    delegate = nil
  }

  func close(_ stream: HTTP2Stream, _ closure: StreamClosure) {
    stream.isClosed = true
    countSent(stream.queue.byteCount)
    stream.queue.removeAll()
    countArriving(-stream.arriving)
    stream.arriving = 0
    let held = stream.credit.close()
    if held > 0 { giveToConnection(held) }
    stream.delegate?.streamClosed(closure)
    stream.delegate = nil
  }
}
