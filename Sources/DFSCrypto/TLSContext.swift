import COpenSSL
import DFSCore
import Glibc
import Synchronization

/// A certificate with the chain to its authority, and its private key: two PEM files, which may be one.
package struct TLSIdentityFiles: Sendable, Hashable {
  package var certificateChain: String
  package var privateKey: String

  package init(certificateChain: String, privateKey: String) {
    self.certificateChain = certificateChain
    self.privateKey = privateKey
  }
}

/// What all TLS sessions of one server, or of one client, have in common: certificates, trust, versions.
///
/// TLS 1.2 at least, 1.3 preferred; ALPN `h2` only; no renegotiation, compression or resumption. The files
/// are read when the context is made, by `reload()`, and by `refresh()` when they have changed; sessions keep
/// what they began with. Any thread may call.
package final class TLSContext: Sendable {
  package enum Role: Sendable, Hashable { case server, client }

  /// Whose certificates a peer may show.
  package enum Trust: Sendable, Hashable {
    /// Servers only: clients are not asked for certificates.
    case anyone
    /// Those signed by an authority of this PEM file. A server demands a client certificate then (mutual
    /// TLS).
    case authorities(file: String)
    /// Clients only: those signed by an authority of the operating system.
    case system
  }

  package let role: Role
  private let identity: TLSIdentityFiles?
  private let trust: Trust
  private let current: Mutex<Loaded>

  private struct Loaded {
    let context: SharedContext
    /// What the files were just before they were read.
    let stamps: [FileStamp?]
  }

  /// Reads the files. Throws `.invalidArgument` that names the file that can not be used and why: absent,
  /// not PEM, a key that is encrypted or belongs to another certificate.
  package init(server identity: TLSIdentityFiles, clients trust: Trust = .anyone) throws {
    precondition(trust != .system, "a server trusts the authorities it is told, or anyone")
    role = .server
    self.identity = identity
    self.trust = trust
    current = Mutex(try Self.load(.server, identity, trust))
  }

  /// As above; `identity` is for servers that demand a client certificate.
  package init(clientTrusting trust: Trust, identity: TLSIdentityFiles? = nil) throws {
    precondition(trust != .anyone, "a client that trusts anyone talks to anyone")
    role = .client
    self.identity = identity
    self.trust = trust
    current = Mutex(try Self.load(.client, identity, trust))
  }

  /// Reads the files again; sessions made from now on use what they hold. When one can not be used, throws
  /// and goes on with what was there.
  package func reload() throws {
    let fresh = try Self.load(role, identity, trust)
    current.withLock { $0 = fresh }
  }

  /// Reads the files again if one has changed. Throws as `reload()` does; a later call tries again, so a
  /// certificate that was replaced a moment before its key does no harm. Blocks for a few system calls.
  package func refresh() throws {
    let stamps = current.withLock { $0.stamps }
    if stamps != Self.stamps(identity, trust) { try reload() }
  }

  private static func load(_ role: Role, _ identity: TLSIdentityFiles?, _ trust: Trust) throws -> Loaded {
    let stamps = stamps(identity, trust)
    return Loaded(context: try SharedContext(role, identity, trust), stamps: stamps)
  }

  private static func stamps(_ identity: TLSIdentityFiles?, _ trust: Trust) -> [FileStamp?] {
    var paths = identity.map { [$0.certificateChain, $0.privateKey] } ?? []
    if case .authorities(let file) = trust { paths.append(file) }
    return paths.map { FileStamp(path: $0) }
  }

  /// Makes the session of one connection. A client gives the name of the server, which its certificate must
  /// carry: a DNS name or an address. Throws `.invalidArgument` for a name that can be in no certificate.
  package func makeSession(serverName: String? = nil) throws -> TLSSession {
    precondition((role == .client) == (serverName != nil), "a client, and only a client, names its server")
    return try TLSSession(current.withLock { $0.context }, role: role, serverName: serverName)
  }
}

/// What tells one content of a file from another without reading it.
private struct FileStamp: Equatable {
  let inode: UInt
  let size: Int
  let seconds: Int
  let nanoseconds: Int

  /// Nothing when there is no such file.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    inode = status.st_ino
    size = status.st_size
    seconds = status.st_mtim.tv_sec
    nanoseconds = status.st_mtim.tv_nsec
  }
}

/// An `SSL_CTX`, freed with its last user.
// SAFETY: the pointer never changes, and OpenSSL counts references to an SSL_CTX and locks inside it; it is
// only configured in `init`, before any other thread knows it.
final class SharedContext: @unchecked Sendable {
  let pointer: OpaquePointer

  init(_ role: TLSContext.Role, _ identity: TLSIdentityFiles?, _ trust: TLSContext.Trust) throws {
    ERR_clear_error()
    guard let pointer = SSL_CTX_new(role == .server ? TLS_server_method() : TLS_client_method()) else {
      throw TLSFailure.outOfMemory("a TLS context")
    }
    self.pointer = pointer
    dfs_ssl_ctx_set_safe_options(pointer)
    SSL_CTX_set_num_tickets(pointer, 0)
    guard dfs_ssl_ctx_set_min_tls12(pointer) == 1,
      // Forward secrecy and authenticated encryption only, which is also what RFC 9113 demands of HTTP/2.
      SSL_CTX_set_cipher_list(pointer, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
    else { throw TLSFailure.outOfMemory("the TLS settings") }
    // An encrypted key must fail, not ask at a terminal that a server does not have.
    SSL_CTX_set_default_passwd_cb(pointer) { _, _, _, _ in 0 }
    if let identity { try use(identity) }
    try use(trust, role)
    try setProtocols(role)
  }

  deinit { SSL_CTX_free(pointer) }

  private func use(_ identity: TLSIdentityFiles) throws {
    guard SSL_CTX_use_certificate_chain_file(pointer, identity.certificateChain) == 1 else {
      throw TLSFailure.file(identity.certificateChain, "a certificate")
    }
    guard SSL_CTX_use_PrivateKey_file(pointer, identity.privateKey, SSL_FILETYPE_PEM) == 1,
      SSL_CTX_check_private_key(pointer) == 1
    else { throw TLSFailure.file(identity.privateKey, "the key of \(identity.certificateChain)") }
  }

  private func use(_ trust: TLSContext.Trust, _ role: TLSContext.Role) throws {
    switch trust {
    case .anyone:
      SSL_CTX_set_verify(pointer, SSL_VERIFY_NONE, nil)
    case .system:
      guard SSL_CTX_set_default_verify_paths(pointer) == 1 else {
        throw TLSFailure.outOfMemory("the system's list of authorities")
      }
      SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, nil)
    case .authorities(let file):
      guard SSL_CTX_load_verify_file(pointer, file) == 1 else {
        throw TLSFailure.file(file, "a list of authorities")
      }
      if role == .server {
        guard let names = SSL_load_client_CA_file(file) else {
          throw TLSFailure.file(file, "a list of authorities")
        }
        SSL_CTX_set_client_CA_list(pointer, names)
      }
      SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
  }

  /// ALPN (RFC 7301): the length of a name, then the name.
  static let h2: [UInt8] = [2, UInt8(ascii: "h"), UInt8(ascii: "2")]

  private func setProtocols(_ role: TLSContext.Role) throws {
    guard role == .server else {
      // This one call answers 0 when it succeeds.
      guard SSL_CTX_set_alpn_protos(pointer, Self.h2, UInt32(Self.h2.count)) == 0 else {
        throw TLSFailure.outOfMemory("the ALPN list")
      }
      return
    }
    SSL_CTX_set_alpn_select_cb(
      pointer,
      { _, chosen, chosenCount, offered, offeredCount, _ in
        guard let chosen, let chosenCount, let offered else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        var position = 0
        let end = Int(offeredCount)
        // SAFETY: OpenSSL offers `offeredCount` bytes and has checked that the lengths inside fit; the answer
        // must point into the offer or live for ever, so it points into the offer.
        while position < end {
          let count = Int(offered[position])
          guard position + 1 + count <= end else { break }
          if count == 2, offered[position + 1] == SharedContext.h2[1],
            offered[position + 2] == SharedContext.h2[2]
          {
            chosen.pointee = offered + position + 1
            chosenCount.pointee = 2
            return SSL_TLSEXT_ERR_OK
          }
          position += 1 + count
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
      }, nil)
  }
}
