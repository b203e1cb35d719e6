package import DFSCore

/// What a caller wants for one call.
package struct CallOptions: Sendable {
  /// From the start of the call to its end, retries included. The deadline of the handler that makes the
  /// call (`CallContext.current`) bounds it too. Nothing means no bound of its own.
  package var timeout: Duration?
  package var metadata = Metadata()
  /// Waits for a connection within the timeout, instead of failing at once with `.unavailable`.
  package var waitForReady: Bool
  /// How the requests are sent.
  package var compression: MessageEncoding
  /// A larger response message is refused with `.exhausted`; the channel's limit when not given.
  package var maxResponse: ByteCount?

  package init(
    timeout: Duration? = nil, metadata: Metadata = Metadata(), waitForReady: Bool = false,
    compression: MessageEncoding = .identity, maxResponse: ByteCount? = nil
  ) {
    self.timeout = timeout
    self.metadata = metadata
    self.waitForReady = waitForReady
    self.compression = compression
    self.maxResponse = maxResponse
  }
}
