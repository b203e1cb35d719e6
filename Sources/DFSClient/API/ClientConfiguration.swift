/// How a client behaves. The defaults suit a command line and a server alike.
public struct ClientConfiguration: Sendable {
  /// What a connection trusts and shows. Paths of PEM files.
  public struct TLS: Sendable {
    /// The client's own certificate and key, where servers demand one.
    public var certificate: String?
    public var key: String?
    /// Certificates of the authorities to trust; the system's when nothing is given.
    public var authorities: String?

    public init(certificate: String? = nil, key: String? = nil, authorities: String? = nil) {
      self.certificate = certificate
      self.key = key
      self.authorities = authorities
    }
  }

  /// Nothing means plain HTTP/2.
  public var tls: TLS?
  /// Chunks that one upload or download moves at a time, memory permitting.
  public var parallelism = 4
  /// Payload that one upload or download holds in memory. What a source that cannot be read again needs
  /// beyond it goes to a temporary file.
  public var memoryBudget: ByteCount = .mib(64)
  /// How long operations wait for a coordinator that went away and for a chunk that no datanode serves,
  /// before they fail.
  public var patience: Duration = .seconds(30)
  /// How long `DFSClient.connect` waits for the first answer.
  public var connectTimeout: Duration = .seconds(3)
  /// A datanode that makes no progress on a read for so long is given up, and the next replica asked.
  public var stallTimeout: Duration = .milliseconds(2500)
  /// The same for writes, where the peer itself waits for its own peers, and for disks to sync.
  public var writeStallTimeout: Duration = .seconds(10)
  /// A read without an answer after so long is also sent to a second replica; nothing never does.
  public var hedgeAfter: Duration? = .milliseconds(100)
  /// Where bytes are spooled; the system's temporary directory when nothing is given.
  public var spoolDirectory: String?

  public init() {}

  /// An upload for which too few datanodes are left waits a third of its patience: one that is started again
  /// is there in seconds, and for one that is gone waiting is of no use.
  var shortagePatience: Duration { patience / 3 }
}
