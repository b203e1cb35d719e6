import COpenSSL
import DFSCore
import Glibc

/// Turns OpenSSL's thread-local error queue into an error of ours.
enum TLSFailure {
  /// Takes every entry of the queue; the first is the cause, the others are its callers' words.
  static func takeErrors() -> (reason: Int32, text: String)? {
    var first: (Int32, String)?
    while true {
      let code = ERR_get_error()
      guard code != 0 else { return first }
      guard first == nil else { continue }
      let reason = ERR_GET_REASON(code)
      // System errors keep errno as their reason and have no text of their own.
      let raw = ERR_reason_error_string(code) ?? UnsafePointer(strerror(reason))
      let text = raw.map { String(cString: $0) } ?? "error \(code)"
      first = (reason, text)
    }
  }

  /// An error for files that a person gave us: certificates and keys.
  static func file(_ path: String, _ what: String) -> DFSError {
    let reason = takeErrors()?.text ?? "no reason given"
    return DFSError(
      .invalidArgument, "\(path) can not be used as \(what): \(reason)", metadata: ["path": path])
  }

  static func outOfMemory(_ what: String) -> DFSError {
    DFSError(.internal, "OpenSSL can not make \(what): \(takeErrors()?.text ?? "no reason given")")
  }

  /// Why a handshake or a record failed. Failing certificates are `.unauthenticated`, as another attempt
  /// changes nothing; everything else is `.unavailable`: this connection is lost.
  static func session(_ session: OpaquePointer, role: TLSContext.Role) -> DFSError {
    let peer = role == .server ? "client" : "server"
    let error = takeErrors()
    let verification = SSL_get_verify_result(session)
    if let error, error.reason == SSL_R_CERTIFICATE_VERIFY_FAILED, verification != 0 {
      let reason = String(cString: X509_verify_cert_error_string(verification))
      return DFSError(.unauthenticated, "the \(peer)'s certificate is not accepted: \(reason)")
    }
    guard let error else {
      return DFSError(.unavailable, "the \(peer) cut the TLS connection")
    }
    switch error.reason {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return DFSError(.unauthenticated, "the client shows no certificate, and this server demands one")
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return DFSError(.unauthenticated, "the server demands a client certificate: configure one")
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
      SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
      SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
      SSL_R_TLSV1_ALERT_UNKNOWN_CA, SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return DFSError(.unauthenticated, "the \(peer) does not accept our certificate: \(error.text)")
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_UNKNOWN_PROTOCOL, SSL_R_PACKET_LENGTH_TOO_LONG:
      return DFSError(.unavailable, "the \(peer) does not speak TLS")
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, SSL_R_NO_APPLICATION_PROTOCOL:
      return DFSError(.unavailable, "the \(peer) does not offer HTTP/2 (ALPN \"h2\")")
    default:
      return DFSError(.unavailable, "TLS with the \(peer) failed: \(error.text)")
    }
  }
}
