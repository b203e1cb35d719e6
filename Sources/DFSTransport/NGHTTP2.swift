import CNghttp2
import DFSCore

/// The C side of a session: its options, its callbacks, and small calls with C types in them.
enum NGHTTP2 {
  static let keepalivePing: UInt64 = 0x6466_732D_6B65_6570
  static let drainPing: UInt64 = 0x6466_732D_6472_6169

  static func makeSession(side: HTTP2Session.Side, configuration: HTTP2Configuration) throws -> OpaquePointer
  {
    var options: OpaquePointer?
    var callbacks: OpaquePointer?
    var session: OpaquePointer?
    defer {
      nghttp2_option_del(options)
      nghttp2_session_callbacks_del(callbacks)
    }
    guard nghttp2_option_new(&options) == 0, nghttp2_session_callbacks_new(&callbacks) == 0 else {
      throw DFSError(.exhausted, "no memory for an HTTP/2 session")
    }
    nghttp2_option_set_no_auto_window_update(options, 1)
    nghttp2_option_set_no_closed_streams(options, 1)
    nghttp2_option_set_peer_max_concurrent_streams(options, 100)
    nghttp2_option_set_max_continuations(options, configuration.maxContinuations)
    nghttp2_option_set_max_settings(options, configuration.maxSettingsEntries)
    nghttp2_option_set_max_outbound_ack(options, configuration.maxQueuedAnswers)
    nghttp2_option_set_stream_reset_rate_limit(
      options, UInt64(configuration.resetBurst), UInt64(configuration.resetsPerSecond))
    setCallbacks(callbacks)
    let result =
      side == .server
      ? nghttp2_session_server_new2(&session, callbacks, nil, options)
      : nghttp2_session_client_new2(&session, callbacks, nil, options)
    guard result == 0, let session else { throw DFSError(.exhausted, "no memory for an HTTP/2 session") }
    return session
  }

  static func submitSettings(
    _ session: OpaquePointer, side: HTTP2Session.Side, configuration: HTTP2Configuration
  ) {
    func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(value))
    }
    var entries = [
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, configuration.streamWindow.int),
      entry(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, configuration.maxFrameSize.int),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, configuration.maxHeaderList.int),
    ]
    switch side {
    case .server:
      entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, configuration.maxConcurrentStreams))
    case .client: entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
    }
    nghttp2_submit_settings(session, 0, entries, entries.count)
  }

  static func submitPing(_ session: OpaquePointer, _ value: UInt64) {
    withUnsafeBytes(of: value) {
      _ = nghttp2_submit_ping(session, 0, $0.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
  }

  static func error(_ code: Int32, peer: String) -> DFSError {
    let text = nghttp2_strerror(code).map { String(cString: $0) } ?? "error \(code)"
    return DFSError(.unavailable, "the HTTP/2 connection to \(peer) failed: \(text)")
  }

  /// Where nghttp2 finds the payload of `stream`. The session keeps a stream for as long as nghttp2 does.
  static func provider(for stream: HTTP2Stream) -> nghttp2_data_provider {
    nghttp2_data_provider(
      source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque()),
      read_callback: { session, _, _, limit, flags, source, _ in
        guard let pointer = source?.pointee.ptr, let flags else { return -1 }
        // SAFETY: a stream is kept by its session until `on_stream_close`, after which nghttp2 reads no
        // more from it.
        let stream = Unmanaged<HTTP2Stream>.fromOpaque(pointer).takeUnretainedValue()
        return NGHTTP2.read(from: stream, limit: limit, session: session, flags: flags)
      })
  }

  private static func read(
    from stream: HTTP2Stream, limit: Int, session: OpaquePointer?, flags: UnsafeMutablePointer<UInt32>
  ) -> Int {
    let count = min(limit, stream.queue.byteCount)
    guard count > 0 || stream.isFinished else {
      stream.isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    guard stream.isFinished, count == stream.queue.byteCount else { return count }
    flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    guard let trailers = stream.trailers else { return count }
    flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
    _ = trailers.withFields { nghttp2_submit_trailer(session, stream.id, $0, $1) }
    return count
  }

  // MARK: - Callbacks

  private static func setCallbacks(_ callbacks: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, user in
      guard let header, let session = NGHTTP2.session(user) else { return 0 }
      session.arrivingFrame = ArrivingFrame(header.pointee)
      return 0
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      guard let frame, let session = NGHTTP2.session(user) else { return 0 }
      return session.receivedBeginHeaders(frame)
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, _, name, nameCount, value, valueCount, _, user in
      guard let session = NGHTTP2.session(user) else { return 0 }
      session.headers.append(
        name: UnsafeBufferPointer(start: name, count: nameCount),
        value: UnsafeBufferPointer(start: value, count: valueCount),
        limit: session.configuration.maxHeaderList.int)
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      guard let frame, let session = NGHTTP2.session(user) else { return 0 }
      return session.received(frame)
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, bytes, count, user in
      NGHTTP2.session(user)?.receivedData(UnsafeRawBufferPointer(start: bytes, count: count), on: id)
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
      NGHTTP2.session(user)?.streamClosed(id, code)
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      guard let frame, let session = NGHTTP2.session(user) else { return 0 }
      session.sent(frame)
      return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, source, user in
      guard let session = NGHTTP2.session(user), let pointer = source?.pointee.ptr else {
        return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
      }
      // SAFETY: as in `provider(for:)`.
      let stream = Unmanaged<HTTP2Stream>.fromOpaque(pointer).takeUnretainedValue()
      let header = UnsafeRawBufferPointer(start: header, count: 9)
      return switch session.sendData(of: stream, header: header, count: count) {
      case .sent: 0
      case .blocked: NGHTTP2_ERR_WOULDBLOCK.rawValue
      case .dropped: NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
      }
    }
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks) {
      _, _, _, connection, stream, frame, user in
      let ours = NGHTTP2.session(user)?.configuration.maxFrameSize.int ?? 16 << 10
      return max(1, min(ours, min(Int(frame), min(Int(connection), Int(stream)))))
    }
  }

  private static func session(_ pointer: UnsafeMutableRawPointer?) -> HTTP2Session? {
    // SAFETY: the session sets itself as user data and outlives its nghttp2 session.
    pointer.map { Unmanaged<HTTP2Session>.fromOpaque($0).takeUnretainedValue() }
  }
}

extension HeaderList {
  /// Calls `body` with nghttp2's form of the list, valid for the call; nghttp2 copies what it keeps.
  func withFields<Result>(_ body: (UnsafeMutablePointer<nghttp2_nv>?, Int) -> Result) -> Result {
    bytes.withUnsafeBufferPointer { bytes in
      withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: max(1, lengths.count)) { fields in
        // SAFETY: nghttp2 takes mutable pointers and does not write through them.
        var start = UnsafeMutablePointer(mutating: bytes.baseAddress)
        for (index, length) in lengths.enumerated() {
          let value = start?.advanced(by: length.name)
          fields.initializeElement(
            at: index,
            to: nghttp2_nv(
              name: start, value: value, namelen: length.name, valuelen: length.value,
              flags: UInt8((length.isIndexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX).rawValue)))
          start = value?.advanced(by: length.value)
        }
        return body(fields.baseAddress, lengths.count)
      }
    }
  }
}
