package import NIOCore

/// Puts encryption in front of HTTP/2. A server or client configuration that has one asks it for a channel
/// handler per connection.
///
/// The handler sits nearest to the socket. It passes on decrypted `ByteBuffer`s and takes
/// `IOData.byteBuffer` (never a file region), passes on `channelReadComplete` after each read, and when
/// the handshake is done fires the user event `SecureChannelReady`; until then HTTP/2 sends nothing. It
/// closes the channel when the handshake fails, after `fireErrorCaught` with a `DFSError` that says why.
package protocol ChannelSecurity: Sendable {
  /// Makes the handler of one connection, on its loop. `serverName` is the host that a client wants to reach.
  func makeHandler(serverName: String?) throws -> any ChannelHandler
  /// Reads certificates again if they have changed. Blocks, so it is called on threads that may: before a
  /// client connects, and by a server now and then while it accepts.
  func refresh() throws
}

/// The handshake is done.
package struct SecureChannelReady: Sendable {
  /// The protocol both sides agreed on; HTTP/2 wants `h2`.
  package var applicationProtocol: String?
  /// Who the peer's verified certificate says it is, when mutual TLS asked for one.
  package var peerName: String?

  package init(applicationProtocol: String?, peerName: String?) {
    self.applicationProtocol = applicationProtocol
    self.peerName = peerName
  }
}
