package import DFSCore

/// The settings and limits of HTTP/2 connections. The defaults suit a server on a network of strangers.
package struct HTTP2Configuration: Sendable {
  /// How much of one stream a peer may send ahead of its reader.
  package var streamWindow: ByteCount = .mib(4)
  /// The most that one connection's window grows to, within the process's receive budget.
  package var connectionWindow: ByteCount = .mib(64)
  /// The largest DATA frame we accept, and send where the peer accepts it.
  package var maxFrameSize: ByteCount = .kib(256)
  /// What is queued of one stream before its writer waits.
  package var streamQueue: ByteCount = .mib(2)
  /// What is queued of one connection before every writer waits.
  package var connectionQueue: ByteCount = .mib(16)
  package var writeWatermarks: (low: ByteCount, high: ByteCount) = (.mib(1), .mib(4))

  /// Streams that a peer may have open at once.
  package var maxConcurrentStreams = 1000
  /// A header list (names, values and 32 bytes each) beyond this is refused.
  package var maxHeaderList: ByteCount = .kib(32)
  /// CONTINUATION frames that one header block may take.
  package var maxContinuations = 8
  /// Streams that a peer may reset: so many in a burst, then so many a second.
  package var resetBurst = 1000
  package var resetsPerSecond = 100
  /// Entries in one SETTINGS frame.
  package var maxSettingsEntries = 32
  /// Answers to PING and SETTINGS that may wait to be sent before the peer counts as flooding.
  package var maxQueuedAnswers = 1000
  /// PING and SETTINGS frames that a peer may send: so many in a burst, then so many a second.
  package var controlBurst = 1000
  package var controlPerSecond = 50

  /// From accepting (or connecting) until the peer's preface and SETTINGS are here, TLS handshake included.
  package var handshakeTimeout: Duration = .seconds(10)
  /// A PING goes out after so long without a byte from the peer; nothing never pings.
  package var keepaliveInterval: Duration? = .seconds(30)
  /// The peer is given up when a PING has no answer after so long.
  package var keepaliveTimeout: Duration = .seconds(10)
  /// A connection without streams for so long is closed gracefully.
  package var idleTimeout: Duration? = .seconds(600)
  /// A connection older than this is drained, so that load spreads again.
  package var maxConnectionAge: Duration?
  /// What running streams get to finish when a connection is drained because of its age.
  package var ageGrace: Duration = .seconds(300)

  package init() {}
}
