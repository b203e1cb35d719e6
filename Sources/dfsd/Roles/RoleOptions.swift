import ArgumentParser
import DFSConfig
import DFSCore
import DFSCrypto
import DFSObservability
import DFSRPC
import DFSTransport
import Foundation
import Logging

/// The options of every server command.
struct RoleOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The configuration file; else DFS_CONFIG.", valueName: "file"), completion: .file())
  var config: String?

  @Option(help: ArgumentHelp("Where to serve; port 0 takes a free one.", valueName: "host:port")) var listen:
    String?

  @Option(help: ArgumentHelp("Where the data is kept.", valueName: "directory"), completion: .directory)
  var data: String?

  @Flag(help: "Allow other machines to reach a server without TLS.") var insecure = false

  @Option(
    help: ArgumentHelp(
      "Any other setting of the configuration file, as often as needed.", valueName: "key=value"))
  var set: [String] = []

  /// Reads and checks all settings; `role` is the section that --listen and --data belong to.
  func settings(for purpose: SettingPurpose, role: String, flags extra: [String: String?] = [:]) throws
    -> Settings
  {
    var flags = extra.compactMapValues { $0 }
    if let listen { flags["\(role).listen"] = listen }
    if let data { flags["\(role).data"] = data }
    if insecure { flags["insecure"] = "true" }
    flags.merge(try Self.assignments(set)) { $1 }
    let sources = try SettingSources.process(flags: flags, configuration: config)
    let settings = try Settings.load(for: purpose, from: sources)
    for warning in Settings.check(for: purpose, sources).warnings { Terminal.note("dfsd: warning: \(warning)") }
    return settings
  }

  /// What `--set KEY=VALUE` says.
  static func assignments(_ texts: [String]) throws -> [String: String] {
    var flags: [String: String] = [:]
    for text in texts {
      guard let equals = text.firstIndex(of: "=") else {
        throw DFSError(.invalidArgument, "--set \(text) has no value: write --set KEY=VALUE")
      }
      flags[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    return flags
  }
}

extension Settings {
  /// Sends the process's log where the settings say.
  func startLog() {
    let format: LineLogHandler.Format? =
      switch log.format {
      case .auto: nil
      case .text: .text
      case .json: .json
      }
    LogSystem.start(level: Logger.Level(rawValue: log.level) ?? .info, format: format) {
      CallContext.current?.traceID
    }
  }

  func makeLoops() -> NetworkLoops {
    guard let count = cluster.transport.loops else {
      return NetworkLoops(receiveBudget: datanode.receiveBudget)
    }
    return NetworkLoops(count: count, receiveBudget: datanode.receiveBudget)
  }

  /// The transport's part of the settings.
  var http2: HTTP2Configuration {
    var http2 = HTTP2Configuration()
    let transport = cluster.transport
    http2.streamWindow = transport.streamWindow
    http2.connectionWindow = transport.connectionWindow
    http2.maxFrameSize = transport.frameSize
    http2.maxConcurrentStreams = transport.maxStreams
    http2.maxHeaderList = transport.maxHeaderList
    http2.keepaliveInterval = transport.keepaliveInterval
    http2.keepaliveTimeout = transport.keepaliveTimeout
    http2.idleTimeout = transport.idleTimeout
    http2.maxConnectionAge = transport.maxAge
    return http2
  }

  /// How a server encrypts; nothing where the cluster speaks plain HTTP/2.
  func serverSecurity() throws -> TLSContext? {
    guard let tls = cluster.tls, let identity = tls.identity else { return nil }
    let trust: TLSContext.Trust =
      if tls.mutual, let authorities = tls.authorities { .authorities(file: authorities) } else { .anyone }
    return try TLSContext(server: identity, clients: trust)
  }

  /// How a server calls other servers.
  func clientSecurity() throws -> TLSContext? {
    guard let tls = cluster.tls else { return nil }
    return try TLSContext(
      clientTrusting: tls.authorities.map { .authorities(file: $0) } ?? .system, identity: tls.identity)
  }

  func serverConfiguration(listen: Endpoint) throws -> RPCServer.Configuration {
    var server = RPCServer.Configuration(listen: [listen])
    server.security = try serverSecurity()
    server.http2 = http2
    server.maxRequest = cluster.transport.maxMessage
    server.maxConnections = cluster.transport.maxConnections
    return server
  }

  func channelConfiguration() throws -> RPCChannel.Configuration {
    var channel = RPCChannel.Configuration()
    channel.security = try clientSecurity()
    channel.http2 = http2
    channel.connectTimeout = cluster.transport.connectTimeout
    channel.maxResponse = cluster.transport.maxMessage
    return channel
  }
}

extension TLSSettings {
  var identity: TLSIdentityFiles? {
    guard let certificate, let key else { return nil }
    return TLSIdentityFiles(certificateChain: certificate, privateKey: key)
  }
}
