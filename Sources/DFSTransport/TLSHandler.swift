import DFSCore
package import DFSCrypto
package import NIOCore

/// TLS by OpenSSL in front of HTTP/2.
extension TLSContext: ChannelSecurity {
  package func makeHandler(serverName: String?) throws -> any ChannelHandler {
    TLSHandler(session: try makeSession(serverName: role == .client ? serverName ?? "" : nil), role: role)
  }
}

/// Encrypts one connection: sits between the socket and HTTP/2, and keeps `ChannelSecurity`'s promises.
///
/// Outgoing bytes are collected into records of 16 KiB: a small write waits for the flush, so a 9-byte frame
/// header does not cost a record of its own; a large one is encrypted where it lies. What is encrypted goes
/// to the channel 64 KiB at a time, so the channel's own water marks hold writers back. Nothing else is kept
/// here.
final class TLSHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = IOData
  typealias OutboundOut = IOData

  private enum Phase {
    case handshaking
    case ready
    /// Our alert is on its way and our direction is shut. Closing with bytes unread would reset the
    /// connection, and a reset can overtake the alert that tells the peer what is wrong.
    case lingering
    case closed
  }

  /// Ciphertext that is handed to the channel in one piece, at the least.
  private static let outputSize = 64 << 10
  private static let longestLinger = TimeAmount.seconds(1)

  private let session: TLSSession
  private let role: TLSContext.Role
  private var phase = Phase.handshaking
  /// Plaintext that does not fill a record yet.
  private var staged = ByteBuffer()
  /// Ciphertext that is not handed to the channel yet.
  private var output = ByteBuffer()
  /// Of the writes whose last byte lies in `output` or `staged`.
  private var promises: [EventLoopPromise<Void>] = []
  private var linger: Scheduled<Void>?
  private var closePromise: EventLoopPromise<Void>?

  init(session: TLSSession, role: TLSContext.Role) {
    self.session = session
    self.role = role
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { start(context) }
  }

  func channelActive(context: ChannelHandlerContext) {
    start(context)
    context.fireChannelActive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  private func start(_ context: ChannelHandlerContext) {
    guard role == .client, phase == .handshaking, session.pendingOutputCount == 0 else { return }
    session.start()
    sendPending(context)
    checkFailure(context)
  }

  // MARK: - Inbound

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase == .handshaking || phase == .ready else { return }
    let ciphertext = unwrapInboundIn(data)
    let bound = TLSSession.plaintextBound(ciphertext: ciphertext.readableBytes)
    var plaintext = context.channel.allocator.buffer(capacity: bound)
    ciphertext.withUnsafeReadableBytes { input in
      // SAFETY: both pointers are used inside this call only; `receive` says how much it has written.
      _ = plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) {
        session.receive(input, into: $0)
      }
    }
    sendPending(context)
    if phase == .handshaking, session.state == .open || session.state == .peerClosed {
      phase = .ready
      let event = SecureChannelReady(
        applicationProtocol: session.applicationProtocol, peerName: session.peer?.commonName)
      context.fireUserInboundEventTriggered(event)
    }
    if plaintext.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(plaintext)) }
    // HTTP/2 has no use for a half-open connection.
    if session.state == .peerClosed { context.close(promise: nil) }
    checkFailure(context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    let wasHandshaking = phase == .handshaking
    session.receiveEnd()
    // Later a cut connection says nothing that its streams, which lack their trailers, do not say.
    if wasHandshaking, let failure = session.failure { context.fireErrorCaught(failure) }
    end()
    context.fireChannelInactive()
  }

  private func checkFailure(_ context: ChannelHandlerContext) {
    guard let failure = session.failure, phase == .handshaking || phase == .ready else { return }
    failPromises(failure)
    phase = .lingering
    context.close(mode: .output, promise: nil)
    linger = context.eventLoop.assumeIsolated().scheduleTask(in: Self.longestLinger) {
      self.endLinger(context)
    }
    context.fireErrorCaught(failure)
  }

  private func endLinger(_ context: ChannelHandlerContext) {
    guard phase == .lingering else { return }
    phase = .closed
    context.close(promise: closePromise)
    closePromise = nil
  }

  private func end() {
    phase = .closed
    linger?.cancel()
    linger = nil
    closePromise?.succeed()
    closePromise = nil
    failPromises(ChannelError.ioOnClosedChannel)
  }

  // MARK: - Outbound

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard phase == .ready else {
      promise?.fail(session.failure ?? DFSError(.unavailable, "the TLS connection is not open"))
      return
    }
    guard case .byteBuffer(let bytes) = unwrapOutboundIn(data) else {
      promise?.fail(DFSError(.internal, "a file region can not be encrypted: read it first"))
      return
    }
    do {
      let hasEncrypted = try bytes.withUnsafeReadableBytes { try encrypt($0) }
      // What is staged now is of this write, if of any: the promises of all others may go with their bytes.
      if hasEncrypted, output.readableBytes >= Self.outputSize { writeOutput(context) }
      if let promise { promises.append(promise) }
    } catch {
      promise?.fail(error)
      checkFailure(context)
    }
  }

  func flush(context: ChannelHandlerContext) {
    writeStaged(context)
    checkFailure(context)
    context.flush()
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    switch phase {
    case .lingering:
      guard let promise else { return }
      if let closePromise { closePromise.futureResult.cascade(to: promise) } else { closePromise = promise }
    case .ready where mode != .input:
      writeStaged(context)
      phase = .closed
      session.close()
      sendPending(context)
      context.close(mode: mode, promise: promise)
    case .handshaking, .ready, .closed:
      context.close(mode: mode, promise: promise)
    }
  }

  /// Whole records are encrypted at once, what is over waits. Says whether anything was encrypted.
  private func encrypt(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
    var rest = bytes
    var hasEncrypted = false
    if staged.readableBytes > 0 {
      let missing = min(TLSSession.recordSize - staged.readableBytes, rest.count)
      staged.writeBytes(UnsafeRawBufferPointer(rebasing: rest.prefix(missing)))
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(missing))
      guard staged.readableBytes == TLSSession.recordSize else { return false }
      try encryptStaged()
      hasEncrypted = true
    }
    let whole = rest.count - rest.count % TLSSession.recordSize
    if whole > 0 {
      try appendCiphertext(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
      hasEncrypted = true
    }
    staged.writeBytes(UnsafeRawBufferPointer(rebasing: rest.dropFirst(whole)))
    return hasEncrypted
  }

  private func encryptStaged() throws {
    try staged.withUnsafeReadableBytes { try appendCiphertext($0) }
    staged.clear()
  }

  private func appendCiphertext(_ bytes: UnsafeRawBufferPointer) throws {
    let bound = session.ciphertextBound(plaintext: bytes.count)
    if output.capacity == 0, bytes.count >= TLSSession.recordSize {
      // More will follow: growing record by record would copy each time.
      output.reserveCapacity(max(bound, Self.outputSize + 2 * TLSSession.recordSize))
    }
    // SAFETY: `send` stays within the room it asked for and says how much it has written.
    _ = try output.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) {
      try session.send(bytes, into: $0)
    }
  }

  private func writeStaged(_ context: ChannelHandlerContext) {
    guard phase == .ready else { return }
    do {
      if staged.readableBytes > 0 { try encryptStaged() }
      writeOutput(context)
    } catch { return }  // The session has failed; `checkFailure` says so.
  }

  private func writeOutput(_ context: ChannelHandlerContext) {
    guard output.readableBytes > 0 || !promises.isEmpty else { return }
    let bytes = output
    // Not `clear`: the channel keeps these bytes, and appending to them would copy them.
    output = ByteBuffer()
    let waiting = promises
    promises.removeAll(keepingCapacity: true)
    guard !waiting.isEmpty else { return context.write(wrapOutboundOut(.byteBuffer(bytes)), promise: nil) }
    let sent = context.eventLoop.makePromise(of: Void.self)
    for promise in waiting { sent.futureResult.cascade(to: promise) }
    context.write(wrapOutboundOut(.byteBuffer(bytes)), promise: sent)
  }

  /// Sends what the session itself has to say: handshake, key update, alert.
  private func sendPending(_ context: ChannelHandlerContext) {
    guard session.pendingOutputCount > 0 else { return }
    // Behind what is encrypted already, as the order of records is part of the encryption; with what is
    // staged, so that its promises do not run ahead of it.
    if session.state == .open { writeStaged(context) } else { writeOutput(context) }
    let count = session.pendingOutputCount
    if count > 0 {
      var bytes = context.channel.allocator.buffer(capacity: count)
      // SAFETY: there is room for `count`; `takePendingOutput` says how much it has written.
      _ = bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: count) {
        session.takePendingOutput(into: $0)
      }
      context.write(wrapOutboundOut(.byteBuffer(bytes)), promise: nil)
    }
    context.flush()
  }

  private func failPromises(_ error: any Error) {
    let waiting = promises
    promises.removeAll()
    for promise in waiting { promise.fail(error) }
  }
}
