import DFSCore
import Foundation

/// Whose settings are wanted: decides which checks across keys apply.
package enum SettingPurpose: Sendable, CaseIterable {
  case coordinator, datanode, client
  /// `dfsd check-config`: every section is checked as if its role ran here.
  case everything
}

/// What reading the sources gave: the settings, or all that is wrong with them, and what is merely odd.
package struct SettingReport: Sendable {
  /// `nil` when there is any problem.
  package var settings: Settings?
  package var problems: [SettingProblem]
  package var warnings: [SettingProblem]
}

extension Settings {
  /// The values of an empty configuration.
  package static var standard: Settings {
    var reader = SettingReader(SettingLayers(SettingSources()))
    return Settings(reading: &reader)
  }

  /// Reads and checks all settings. Throws `.invalidArgument` whose message lists every problem, a line each.
  package static func load(for purpose: SettingPurpose, from sources: SettingSources) throws -> Settings {
    let report = check(for: purpose, sources)
    if let settings = report.settings { return settings }
    let lines = report.problems.map { "\n  \($0)" }.joined()
    let subject = report.problems.count == 1 ? "one setting is" : "\(report.problems.count) settings are"
    throw DFSError(
      .invalidArgument, "\(subject) wrong:\(lines)", metadata: ["problems": String(report.problems.count)])
  }

  /// As `load`, for a command that shows everything it found.
  package static func check(for purpose: SettingPurpose, _ sources: SettingSources) -> SettingReport {
    let layers = SettingLayers(sources)
    var reader = SettingReader(layers)
    for name in sources.flags.keys.sorted() where SettingTable.key(named: name) == nil {
      reader.report(name, "there is no such setting")
    }
    let settings = Settings(reading: &reader)
    settings.checkAcrossKeys(purpose, &reader)
    let problems = reader.problems
    return SettingReport(
      settings: problems.isEmpty ? settings : nil, problems: problems, warnings: layers.warnings)
  }

  init(reading reader: inout SettingReader) {
    cluster = ClusterSettings(reading: &reader)
    coordinator = CoordinatorSettings(reading: &reader)
    datanode = DataNodeSettings(reading: &reader)
    client = ClientSettings(reading: &reader)
    log = LogSettings(
      level: reader.text("log.level") ?? "info",
      format: reader.text("log.format").flatMap(LogSettings.Format.init) ?? .auto)
  }
}

extension SettingSources {
  /// The process's environment, and the file that `--config` or `DFS_CONFIG` names.
  /// Throws `.notFound` or `.invalidArgument` when that file can not be read.
  package static func process(flags: [String: String] = [:], configuration path: String? = nil) throws -> Self
  {
    let environment = ProcessInfo.processInfo.environment
    var sources = SettingSources(flags: flags, environment: environment)
    guard let path = path ?? environment["DFS_CONFIG"].flatMap({ $0.isEmpty ? nil : $0 }) else {
      return sources
    }
    sources.file = try read(path)
    return sources
  }

  /// More than this is not a configuration file.
  private static let largestFile = 1 << 20

  private static func read(_ path: String) throws -> (name: String, text: String) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw DFSError(.notFound, "the configuration file \(path) is missing or can not be read")
    }
    guard data.count <= largestFile, let text = String(validating: data, as: UTF8.self) else {
      throw DFSError(.invalidArgument, "\(path) is no configuration file: write YAML in UTF-8, up to 1 MiB")
    }
    return (path, text)
  }
}

extension Settings {
  private func checkAcrossKeys(_ purpose: SettingPurpose, _ reader: inout SettingReader) {
    checkTLS(purpose, &reader)
    if purpose == .coordinator || purpose == .everything {
      checkListen("coordinator.listen", coordinator.listen, &reader)
      requirePath("coordinator.data", coordinator.data, &reader)
    }
    if purpose == .datanode || purpose == .everything {
      checkListen("datanode.listen", datanode.listen, &reader)
      requirePath("datanode.data", datanode.data, &reader)
    }
    if coordinator.outAfter > .zero, coordinator.outAfter <= coordinator.downAfter {
      reader.report(
        "coordinator.out_after",
        "must be longer than coordinator.down_after (\(write(coordinator.downAfter))), or 0")
    }
    if datanode.heartbeatInterval * 3 > coordinator.downAfter {
      reader.report("datanode.heartbeat_interval", "must be at most a third of coordinator.down_after")
    }
    let transport = cluster.transport
    if transport.connectionWindow < transport.streamWindow {
      reader.report("transport.connection_window", "must not be smaller than transport.stream_window")
    }
  }

  /// Servers must not hand data to a whole network by accident.
  private func checkListen(_ key: String, _ endpoint: Endpoint, _ reader: inout SettingReader) {
    guard cluster.tls == nil, !cluster.insecure, !endpoint.isLoopback else { return }
    reader.report(
      key,
      "\(endpoint) can be reached from other machines without TLS: set tls.certificate and tls.key, "
        + "or accept it with insecure: true (--insecure)")
  }

  private func requirePath(_ key: String, _ path: String, _ reader: inout SettingReader) {
    if path.isEmpty { reader.report(key, "a directory is needed") }
  }

  private func checkTLS(_ purpose: SettingPurpose, _ reader: inout SettingReader) {
    guard let tls = cluster.tls else { return }
    if (tls.certificate == nil) != (tls.key == nil) {
      reader.report(
        tls.key == nil ? "tls.key" : "tls.certificate", "tls.certificate and tls.key are needed together")
    }
    if purpose != .client, tls.certificate == nil, tls.key == nil {
      reader.report("tls.certificate", "a server with TLS needs a certificate and its key")
    }
    if tls.mutual, tls.authorities == nil {
      reader.report("tls.ca", "is needed with tls.mutual: it signs the clients' certificates")
    }
    let files = [("tls.certificate", tls.certificate), ("tls.key", tls.key), ("tls.ca", tls.authorities)]
    for case (let key, let path?) in files where !FileManager.default.isReadableFile(atPath: path) {
      reader.report(key, "\(path) is missing or can not be read")
    }
  }
}

extension ClusterSettings {
  init(reading reader: inout SettingReader) {
    coordinators = reader.endpoints("coordinators")
    insecure = reader.flag("insecure")
    let files = TLSSettings(
      certificate: reader.text("tls.certificate"), key: reader.text("tls.key"),
      authorities: reader.text("tls.ca"), mutual: reader.flag("tls.mutual"))
    let named = files.certificate != nil || files.key != nil || files.authorities != nil || files.mutual
    tls = named ? files : nil
    transport = TransportSettings(reading: &reader)
  }
}

extension TransportSettings {
  init(reading reader: inout SettingReader) {
    let loopCount = reader.count("transport.loops")
    let idle = reader.duration("transport.idle_timeout")
    let age = reader.duration("transport.max_age")
    loops = loopCount == 0 ? nil : loopCount
    maxMessage = reader.bytes("transport.max_message")
    streamWindow = reader.bytes("transport.stream_window")
    connectionWindow = reader.bytes("transport.connection_window")
    frameSize = reader.bytes("transport.frame_size")
    maxStreams = reader.count("transport.max_streams")
    maxConnections = reader.count("transport.max_connections")
    maxHeaderList = reader.bytes("transport.max_header_list")
    keepaliveInterval = reader.duration("transport.keepalive_interval")
    keepaliveTimeout = reader.duration("transport.keepalive_timeout")
    idleTimeout = idle == .zero ? nil : idle
    maxAge = age == .zero ? nil : age
    connectTimeout = reader.duration("transport.connect_timeout")
    drainGrace = reader.duration("transport.drain_grace")
  }
}

extension CoordinatorSettings {
  init(reading reader: inout SettingReader) {
    listen = reader.endpoints("coordinator.listen")[0]
    data = reader.text("coordinator.data") ?? ""
    chunkSize = reader.chunkSize("coordinator.chunk_size")
    replicas = reader.count("coordinator.replicas")
    inlineLimit = reader.bytes("coordinator.inline_limit")
    downAfter = reader.duration("coordinator.down_after")
    outAfter = reader.duration("coordinator.out_after")
    suspectAfter = reader.count("coordinator.suspect_after")
    uploadLease = reader.duration("coordinator.upload_lease")
    pinLease = reader.duration("coordinator.pin_lease")
    snapshotLifetime = reader.duration("coordinator.snapshot_lifetime")
    snapshotLimit = reader.count("coordinator.snapshot_limit")
    trashRetention = reader.duration("coordinator.trash_retention")
    trashEntries = reader.count("coordinator.trash_entries")
    reapGrace = reader.duration("coordinator.reap_grace")
    checkPeriod = reader.duration("coordinator.check_period")
    resultRetention = reader.duration("coordinator.result_retention")
    metadataCopies = reader.count("coordinator.metadata_copies")
    queueLimit = reader.count("coordinator.queue_limit")
    cache = reader.bytes("coordinator.cache")
    diskThreads = reader.count("coordinator.disk_threads")
  }
}

extension DataNodeSettings {
  init(reading reader: inout SettingReader) {
    listen = reader.endpoints("datanode.listen")[0]
    advertise = reader.endpoints("datanode.advertise").first
    data = reader.text("datanode.data") ?? ""
    zone = reader.text("datanode.zone")
    reserve = reader.bytes("datanode.reserve")
    smallChunkLimit = reader.bytes("datanode.small_chunk_limit")
    receiveBudget = reader.bytes("datanode.receive_budget")
    maxTransfers = reader.count("datanode.max_transfers")
    stragglerTimeout = reader.duration("datanode.straggler_timeout")
    heartbeatInterval = reader.duration("datanode.heartbeat_interval")
    cache = reader.bytes("datanode.cache")
    let rate = reader.bytes("datanode.repair_rate")
    repairRate = rate == .zero ? nil : rate
    scrubPeriod = reader.duration("datanode.scrub_period")
    diskThreads = reader.count("datanode.disk_threads")
  }
}

extension ClientSettings {
  init(reading reader: inout SettingReader) {
    let hedge = reader.duration("client.hedge_after")
    parallelism = reader.count("client.parallelism")
    memoryBudget = reader.bytes("client.memory_budget")
    timeout = reader.duration("client.timeout")
    stallTimeout = reader.duration("client.stall_timeout")
    writeStallTimeout = reader.duration("client.write_stall_timeout")
    hedgeAfter = hedge == .zero ? nil : hedge
    spool = reader.text("client.spool")
  }
}
