import CNghttp2
import DFSCore
package import NIOCore

/// The channel's side of the session: bytes in, timers, and the end.
extension HTTP2Session: ChannelInboundHandler {
  package typealias InboundIn = ByteBuffer
  package typealias OutboundOut = IOData

  package func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    staging = context.channel.allocator.buffer(capacity: 4 << 10)
    if peer == "unknown" { peer = context.remoteAddress.map(Self.name) ?? peer }
    armTimer()
    if context.channel.isActive, isPlain { start() }
  }

  package func handlerRemoved(context: ChannelHandlerContext) {
    die(nil)
    self.context = nil
  }

  package func channelActive(context: ChannelHandlerContext) {
    if peer == "unknown" { peer = context.remoteAddress.map(Self.name) ?? peer }
    if isPlain { start() }
    context.fireChannelActive()
  }

  package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let ready = event as? SecureChannelReady {
      if let name = ready.peerName { peer = name }
      if ready.applicationProtocol == "h2" {
        start()
      } else {
        failure = DFSError(.unavailable, "\(peer) does not speak HTTP/2 over TLS (ALPN \"h2\")")
        context.close(promise: nil)
      }
    }
    context.fireUserInboundEventTriggered(event)
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    executor.beginReading()
    guard !isDead, failure == nil else { return }
    let buffer = unwrapInboundIn(data)
    timers.heard(now: Self.now())
    let wasReady = timers.isReady
    buffer.withUnsafeReadableBytes { feed($0) }
    // A buffer that is not full has all that the socket had.
    if buffer.writableBytes == 0 { receiveDirectly(context) }
    if timers.isReady != wasReady { armTimer() }
    creditSwallowed()
    considerLoan()
    markDirty()
  }

  package func channelReadComplete(context: ChannelHandlerContext) {
    directRest = Self.directBound
    executor.drain()
    context.fireChannelReadComplete()
  }

  package func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { markDirty() }
    context.fireChannelWritabilityChanged()
  }

  package func channelInactive(context: ChannelHandlerContext) {
    die(nil)
    executor.drain()
    context.fireChannelInactive()
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if failure == nil {
      failure =
        (error as? DFSError) ?? DFSError(.unavailable, "the connection to \(peer) broke", cause: error)
    }
    context.close(promise: nil)
    executor.drain()
  }

  /// nghttp2 gave up on the peer: what it said was no HTTP/2, or a flood.
  func refuse(_ code: Int32) {
    let error = NGHTTP2.error(code, peer: peer)
    logger.debug("connection refused", metadata: ["peer": "\(peer)", "reason": "\(error)"])
    TransportMetrics.refused.increment()
    failure = failure ?? error
    // A session that failed is not asked for output again, except for the GOAWAY it may still hold.
    nghttp2_session_terminate_session(
      handle,
      code == NGHTTP2_ERR_FLOODED.rawValue
        ? HTTP2ErrorCode.enhanceYourCalm.rawValue : HTTP2ErrorCode.protocolError.rawValue)
  }

  private func start() {
    guard !hasStarted else { return }
    hasStarted = true
    NGHTTP2.submitSettings(handle, side: side, configuration: configuration)
    openWindow(by: connectionCredit.open(to: min(budget.open(), configuration.connectionWindow.int)))
    markDirty()
  }

  static func name(_ address: SocketAddress) -> String {
    guard let host = address.ipAddress, let port = address.port else { return "\(address)" }
    return Endpoint(host: host, port: port).description
  }

  // MARK: - Timers

  /// Asks the timers what is due, and sets the alarm for the next time. Called whenever something may have
  /// become due earlier than the alarm: at the start, when the connection is ready, when a client that was
  /// idle (and sends no PING then) has a call again, and when a drain begins.
  func armTimer() {
    guard !isDead else { return }
    let now = Self.now()
    let (action, next) = timers.check(now: now, hasStreams: !streams.isEmpty)
    if let action { perform(action) }
    guard !isDead, timer == nil || next < timerDue else { return }
    timer?.cancel()
    timerDue = next
    timer = loop.scheduleTask(in: .nanoseconds((next - now).nanoseconds + 1_000_000)) { [weak self] in
      self?.timer = nil
      self?.armTimer()
    }
  }

  private func perform(_ action: ConnectionTimers.Action) {
    switch action {
    case .giveUpHandshake:
      failure = failure ?? DFSError(.unavailable, "\(peer) did not finish the handshake in time")
      context?.close(promise: nil)
    case .sendPing:
      NGHTTP2.submitPing(handle, NGHTTP2.keepalivePing)
      markDirty()
    case .giveUpPeer:
      failure = failure ?? DFSError(.unavailable, "\(peer) answers no more")
      context?.close(promise: nil)
    case .drainIdle: drain(grace: .seconds(5))
    case .drainAged: drain(grace: configuration.ageGrace)
    case .close:
      failure = failure ?? DFSError(.unavailable, "the time to drain the connection to \(peer) is over")
      context?.close(promise: nil)
    }
  }
}

extension Duration {
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, isJustTooLong) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return isTooLong || isJustTooLong ? .max : sum
  }
}
