import CNghttp2
import DFSCore

/// What nghttp2 reports while it reads from the peer or serialises for it. Called inside `mem_recv` or
/// `mem_send`: submitting is allowed here, reading and serialising is not.
extension HTTP2Session {
  func receivedBeginHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    headers.reset()
    let id = frame.pointee.hd.stream_id
    if side == .server, frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      let stream = HTTP2Stream(session: self, id: id)
      add(stream)
    }
    headersStream = streams[id]
    return 0
  }

  func received(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = frame.pointee.hd
    let isEnd = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch nghttp2_frame_type(UInt32(header.type)) {
    case NGHTTP2_HEADERS:
      receivedHeaders(isEnd: isEnd)
    case NGHTTP2_DATA:
      if isEnd, let stream = streams[header.stream_id] {
        stream.isRemoteClosed = true
        stream.delegate?.streamEnded()
      } else if header.length == 0 {
        countControlFrame()
      }
    case NGHTTP2_SETTINGS:
      receivedSettings(isAnswer: header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0)
    case NGHTTP2_PING:
      receivedPing(frame.pointee.ping)
    case NGHTTP2_GOAWAY:
      peerIsGoingAway()
    case NGHTTP2_PRIORITY:
      countControlFrame()
    default: break
    }
    return 0
  }

  private func receivedHeaders(isEnd: Bool) {
    guard let stream = headersStream else { return }
    headersStream = nil
    if isEnd { stream.isRemoteClosed = true }
    if headers.isTooLarge {
      TransportMetrics.refused.increment()
      submitReset(stream, .enhanceYourCalm)
      return
    }
    if let call = stream.delegate {
      call.streamReceived(headers, isEnd: isEnd)
    } else if side == .server, !stream.hasHead {
      stream.hasHead = true
      stream.delegate = delegate?.sessionOpened(stream, headers, isEnd: isEnd)
    }
  }

  private func receivedSettings(isAnswer: Bool) {
    if isAnswer { return }
    countControlFrame()
    guard !timers.isReady else { return }
    timers.becameReady(now: Self.now())
    delegate?.sessionBecameReady()
  }

  private func receivedPing(_ ping: nghttp2_ping) {
    guard ping.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 else { return countControlFrame() }
    let value = withUnsafeBytes(of: ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
    if value == NGHTTP2.drainPing { finishDrain() }
  }

  /// Frames that cost us work and the peer nearly nothing are allowed at a moderate rate.
  private func countControlFrame() {
    guard !controlFrames.allows(now: Self.now()), failure == nil else { return }
    TransportMetrics.refused.increment()
    terminate(.enhanceYourCalm, DFSError(.exhausted, "\(peer) floods the connection with control frames"))
  }

  func receivedData(_ bytes: UnsafeRawBufferPointer, on id: Int32) {
    remainingWindow -= bytes.count
    arrivingFrame.rest -= bytes.count
    guard let stream = streams[id], let delegate = stream.delegate else {
      return giveToConnection(bytes.count)
    }
    delegate.streamReceived(bytes)
  }

  func streamClosed(_ id: Int32, _ code: UInt32) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    let closure: StreamClosure =
      switch code {
      case HTTP2ErrorCode.none.rawValue: .finished
      case HTTP2ErrorCode.refusedStream.rawValue: .refused
      default: .reset(code)
      }
    close(stream, closure)
    if streams.isEmpty { becomeIdle() }
  }

  func sent(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    if side == .client, header.type == UInt8(NGHTTP2_HEADERS.rawValue) {
      streams[header.stream_id]?.isSent = true
    }
    guard side == .server, header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0,
      header.type == UInt8(NGHTTP2_HEADERS.rawValue) || header.type == UInt8(NGHTTP2_DATA.rawValue),
      let stream = streams[header.stream_id], !stream.isRemoteClosed
    else { return }
    // We answered before the peer was done: tell it to stop. Sooner, the reset would overtake the trailers.
    nghttp2_submit_rst_stream(handle, 0, stream.id, HTTP2ErrorCode.none.rawValue)
  }
}
