import COpenSSL
package import DFSCore

/// The TLS of one connection: ciphertext in, plaintext out, and back. It knows no socket; whoever owns the
/// connection moves the bytes. Confined to that owner: not `Sendable`.
///
/// Every call may leave output behind (handshake, alert, key update): send `pendingOutput` after each one,
/// also after a failure, so that the peer learns of it.
package final class TLSSession {
  package enum State: Sendable, Hashable {
    case handshaking
    case open
    /// The peer has said that it sends no more; what we send still arrives.
    case peerClosed
    case failed
  }

  /// The most plaintext that one record carries.
  package static let recordSize = 16 << 10
  /// What TLS adds to a record at most: header, nonce, tag, content type.
  private static let recordOverhead = 64

  package private(set) var state = State.handshaking
  /// Why the session is `.failed`.
  package private(set) var failure: DFSError?
  /// Who the peer is, once the handshake is complete; nothing when it was not asked for a certificate.
  package private(set) var peer: TLSPeer?

  private let context: SharedContext
  private let role: TLSContext.Role
  private let buffers = TLSBuffers()
  private let session: OpaquePointer

  init(_ context: SharedContext, role: TLSContext.Role, serverName: String?) throws {
    ERR_clear_error()
    self.context = context
    self.role = role
    guard let session = SSL_new(context.pointer) else { throw TLSFailure.outOfMemory("a TLS session") }
    self.session = session
    let bio = try TLSBufferBIO.make(over: buffers)
    // The session takes one reference for both directions and frees the BIO with itself.
    SSL_set_bio(session, bio, bio)
    if role == .server {
      SSL_set_accept_state(session)
    } else {
      SSL_set_connect_state(session)
      if let serverName { try expect(serverName) }
    }
  }

  deinit { SSL_free(session) }

  /// What both sides agreed to speak, once the handshake is complete: always "h2".
  package private(set) var applicationProtocol: String?
  /// "TLSv1.3" or "TLSv1.2", for logs.
  package var protocolVersion: String { String(cString: SSL_get_version(session)) }

  // MARK: - Receiving

  /// Room that `receive` needs for what `count` bytes of ciphertext may turn into, with a record before them.
  package static func plaintextBound(ciphertext count: Int) -> Int { count + recordSize + recordOverhead }

  /// Begins a client's handshake: leaves the first message in `pendingOutput`.
  package func start() { advanceHandshake() }

  /// Takes all of `ciphertext` and writes what it decrypts to `plaintext`, which has `plaintextBound` bytes
  /// of room; gives the number of bytes written. Whatever happens shows in `state`; plaintext that arrived
  /// before a failure is delivered.
  package func receive(_ ciphertext: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer)
    -> Int
  {
    precondition(
      plaintext.count >= Self.plaintextBound(ciphertext: ciphertext.count), "the plaintext needs more room")
    guard state != .failed else { return 0 }
    return buffers.reading(ciphertext) {
      if state == .handshaking { advanceHandshake() }
      return state == .open ? decrypt(into: plaintext) : 0
    }
  }

  /// Tells the session that the connection can bring no more. In a handshake that is a failure; later it is
  /// one unless the peer had closed the session before.
  package func receiveEnd() {
    buffers.inputHasEnded = true
    switch state {
    case .handshaking: fail(DFSError(.unavailable, "the connection ended during the TLS handshake"))
    case .open: fail(DFSError(.unavailable, "the connection ended without a TLS close: it was cut"))
    case .peerClosed, .failed: break
    }
  }

  private func advanceHandshake() {
    ERR_clear_error()
    let result = SSL_do_handshake(session)
    guard result == 1 else {
      if SSL_get_error(session, result) != SSL_ERROR_WANT_READ {
        fail(TLSFailure.session(session, role: role))
      }
      return
    }
    var chosen: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(session, &chosen, &count)
    guard let chosen, count > 0 else {
      // A peer without ALPN would be spoken to in HTTP/2 by mere hope.
      fail(
        DFSError(
          .unavailable, "the \(role == .server ? "client" : "server") does not offer HTTP/2 (ALPN \"h2\")"))
      return
    }
    // SAFETY: the session keeps these `count` bytes.
    applicationProtocol = String(
      decoding: UnsafeBufferPointer(start: chosen, count: Int(count)), as: UTF8.self)
    if let certificate = SSL_get1_peer_certificate(session) {
      defer { X509_free(certificate) }
      peer = TLSPeer(certificate: certificate)
    }
    state = .open
  }

  private func decrypt(into plaintext: UnsafeMutableRawBufferPointer) -> Int {
    var written = 0
    while written < plaintext.count {
      ERR_clear_error()
      var count = 0
      let room = UnsafeMutableRawBufferPointer(rebasing: plaintext[written...])
      let result = SSL_read_ex(session, room.baseAddress, room.count, &count)
      guard result == 1 else {
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ: break
        case SSL_ERROR_ZERO_RETURN: state = .peerClosed
        default: fail(TLSFailure.session(session, role: role))
        }
        return written
      }
      written += count
    }
    preconditionFailure("decrypting made more plaintext than its ciphertext can hold")
  }

  private func fail(_ error: DFSError) {
    state = .failed
    failure = error
  }

  // MARK: - Sending

  /// Room that `send` needs for the ciphertext of `count` bytes of plaintext and what waits before it.
  package func ciphertextBound(plaintext count: Int) -> Int {
    let records = count / Self.recordSize + 1
    return count + records * Self.recordOverhead + buffers.spill.count
  }

  /// Encrypts all of `plaintext`, in records of 16 KiB and a rest, and writes the ciphertext to `ciphertext`,
  /// which has `ciphertextBound` bytes of room; gives the number of bytes written. The state is `.open` or
  /// `.peerClosed`. Throws when OpenSSL fails; the session is lost then.
  package func send(
    _ plaintext: UnsafeRawBufferPointer, into ciphertext: UnsafeMutableRawBufferPointer
  ) throws -> Int {
    precondition(
      state == .open || state == .peerClosed, "nothing is sent before the handshake or after a failure")
    guard plaintext.count > 0 else { return buffers.takeSpill(into: ciphertext) }
    return try buffers.writing(to: ciphertext) {
      ERR_clear_error()
      var count = 0
      guard SSL_write_ex(session, plaintext.baseAddress, plaintext.count, &count) == 1,
        count == plaintext.count
      else {
        let error = TLSFailure.session(session, role: role)
        fail(error)
        throw error
      }
    }
  }

  /// Says that we send no more (close_notify); the alert waits in `pendingOutput`. Does nothing before the
  /// handshake is complete or after a failure.
  package func close() {
    guard state == .open || state == .peerClosed else { return }
    ERR_clear_error()
    _ = SSL_shutdown(session)
    ERR_clear_error()
  }

  /// How many bytes wait to be sent.
  package var pendingOutputCount: Int { buffers.spill.count }

  /// Moves what waits to be sent, as far as there is room; gives the count.
  package func takePendingOutput(into bytes: UnsafeMutableRawBufferPointer) -> Int {
    buffers.takeSpill(into: bytes)
  }

  // MARK: - The server's name

  /// Makes the handshake fail unless the server's certificate carries `name` as a DNS name or an address.
  private func expect(_ name: String) throws {
    let parameters = SSL_get0_param(session)
    // The name must stand among the alternative names, and a wildcard for a whole label (RFC 9110, 4.3.4).
    X509_VERIFY_PARAM_set_hostflags(
      parameters, UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
    if X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1 { return }
    ERR_clear_error()
    // A trailing dot names the same host, but is in no certificate.
    let host = name.hasSuffix(".") ? String(name.dropLast()) : name
    guard !host.isEmpty, !host.utf8.contains(0),
      X509_VERIFY_PARAM_set1_host(parameters, host, host.utf8.count) == 1,
      dfs_ssl_set_server_name(session, host) == 1
    else {
      ERR_clear_error()
      throw DFSError(.invalidArgument, "\"\(name)\" is no host name that a certificate can carry")
    }
  }
}
