import DFSCore
import DFSCrypto
import DFSRPC
import DFSTransport
import Logging
import NIOConcurrencyHelpers

/// One channel per datanode, made when it is first needed. The number of datanodes bounds it.
final class NodeChannels: Sendable {
  private let configuration: RPCChannel.Configuration
  private let loops: NetworkLoops
  private let logger: Logger
  private let channels = NIOLockedValueBox<[Endpoint: RPCChannel]>([:])

  init(configuration: RPCChannel.Configuration, loops: NetworkLoops, logger: Logger) {
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
  }

  func channel(to endpoint: Endpoint) -> RPCChannel {
    channels.withLockedValue { channels in
      if let known = channels[endpoint] { return known }
      let channel = RPCChannel(
        endpoints: [endpoint], configuration: configuration, loops: loops, logger: logger)
      channels[endpoint] = channel
      return channel
    }
  }

  func close() async {
    let all = channels.withLockedValue { channels in
      defer { channels.removeAll() }
      return Array(channels.values)
    }
    for channel in all { await channel.close() }
  }
}

/// How connections to the two kinds of servers are made.
struct ChannelSettings: Sendable {
  var toCoordinator: RPCChannel.Configuration
  var toNodes: RPCChannel.Configuration

  init(_ client: ClientConfiguration) throws {
    var channel = RPCChannel.Configuration()
    if let tls = client.tls {
      let identity: TLSIdentityFiles? = tls.certificate.flatMap { certificate in
        tls.key.map { TLSIdentityFiles(certificateChain: certificate, privateKey: $0) }
      }
      channel.security = try TLSContext(
        clientTrusting: tls.authorities.map { .authorities(file: $0) } ?? .system, identity: identity)
    }
    channel.connectTimeout = min(client.connectTimeout, .seconds(2))
    channel.http2.keepaliveInterval = .seconds(5)
    channel.http2.keepaliveTimeout = .seconds(5)
    // Every attempt is decided about by `CoordinatorRetry`, which remembers whether one of them may have been
    // executed.
    channel.maxAttempts = 1
    toCoordinator = channel
    // A node that is paused answers no PING. One that waits for its disk does, and may take its time.
    channel.http2.keepaliveInterval = .seconds(1)
    channel.http2.keepaliveTimeout = client.stallTimeout
    toNodes = channel
  }
}
