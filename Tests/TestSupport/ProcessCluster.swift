package import Foundation

/// A coordinator and datanodes as real processes of the built `dfsd`, each with a directory and a port of its
/// own that it keeps through restarts. Everything is killed when the value goes away.
package actor ProcessCluster {
  package nonisolated let directory: TemporaryDirectory
  package nonisolated let coordinatorPort: Int
  package nonisolated let datanodePorts: [Int]
  private nonisolated let settings: Settings
  private nonisolated let namespace: NetworkNamespace?
  private var coordinator: StartedProgram?
  private var datanodes: [Int: StartedProgram] = [:]

  package struct Settings: Sendable {
    package var datanodes = 3
    package var coordinatorArguments: [String] = []
    package var datanodeArguments: [String] = []
    /// Data directories that lie elsewhere than in the cluster's own.
    package var dataDirectories: [Int: String] = [:]
    /// Runs each server under another program, for example `strace`; `NAME` stands for the server's name.
    package var wrapper: [String] = []
    /// The same for single datanodes, inside of `wrapper`.
    package var datanodeWrappers: [Int: [String]] = [:]
    /// Runs everything, clients too, in a network namespace of its own, where packets may be dropped.
    package var isolated = false
    /// The user that a datanode runs as; its data directory must be that user's. Such a node can be cut off.
    package var users: [Int: Int] = [:]
    package init() {}
    package init(datanodes: Int) { self.datanodes = datanodes }
  }

  /// The `dfsd` of the build that runs the tests, or `DFS_TEST_DFSD`.
  package static var program: String {
    if let path = ProcessInfo.processInfo.environment["DFS_TEST_DFSD"] { return path }
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return root.appendingPathComponent(".build/debug/dfsd").path
  }

  package init(_ settings: Settings = Settings()) throws {
    directory = try TemporaryDirectory("dfs-cluster")
    self.settings = settings
    namespace = settings.isolated ? try NetworkNamespace() : nil
    let ports = try freePorts(settings.datanodes + 1)
    coordinatorPort = ports[0]
    datanodePorts = Array(ports.dropFirst())
  }

  package nonisolated var coordinatorAddress: String { "127.0.0.1:\(coordinatorPort)" }
  package nonisolated func dataDirectory(ofDatanode number: Int) -> String {
    settings.dataDirectories[number] ?? "\(directory.path)/datanode-\(number)"
  }
  package nonisolated var coordinatorDirectory: String { "\(directory.path)/coordinator" }

  /// Starts everything and waits until `status` sees all datanodes.
  package func start() async throws {
    try startCoordinator()
    for number in 0..<settings.datanodes { try startDatanode(number) }
    try await waitForNodes(settings.datanodes)
  }

  /// `wrapper` runs it this time, inside of the settings'.
  package func startCoordinator(wrapper: [String] = []) throws {
    coordinator = try launch(
      "coordinator", wrapper,
      ["coordinator", "--listen", coordinatorAddress, "--data", coordinatorDirectory]
        + settings.coordinatorArguments)
  }

  /// `wrapper` stands for the one of the settings this time.
  package func startDatanode(_ number: Int, wrapper: [String]? = nil) throws {
    let user = settings.users[number].map {
      ["/usr/bin/setpriv", "--reuid", "\($0)", "--regid", "\($0)", "--clear-groups"]
    }
    datanodes[number] = try launch(
      "datanode-\(number)", (user ?? []) + (wrapper ?? settings.datanodeWrappers[number] ?? []),
      [
        "datanode", "--listen", "127.0.0.1:\(datanodePorts[number])", "--data",
        dataDirectory(ofDatanode: number),
        "--coordinators", coordinatorAddress,
      ] + settings.datanodeArguments)
  }

  private func launch(_ name: String, _ wrapper: [String], _ arguments: [String]) throws -> StartedProgram {
    let command =
      (namespace?.wrapper ?? []) + settings.wrapper.map { $0.replacingOccurrences(of: "NAME", with: name) }
      + wrapper
      + [Self.program] + arguments
    let log = "\(directory.path)/\(name).log"
    return try StartedProgram(
      command[0], Array(command.dropFirst()), environment: ["LOG_LEVEL": "info"], output: log, errors: log)
  }

  package func signalCoordinator(_ signal: Int32) { coordinator?.signal(signal) }
  package func signalDatanode(_ number: Int, _ signal: Int32) { datanodes[number]?.signal(signal) }
  package var coordinatorPID: Int32? { coordinator?.pid }
  package func datanodePID(_ number: Int) -> Int32? { datanodes[number]?.pid }

  package func killCoordinator() async throws {
    coordinator?.signal(SIGKILL)
    _ = try await coordinator?.exit(within: .seconds(10))
    coordinator = nil
  }

  package func killDatanode(_ number: Int) async throws {
    let datanode = datanodes.removeValue(forKey: number)
    datanode?.signal(SIGKILL)
    _ = try await datanode?.exit(within: .seconds(10))
  }

  /// Asks the coordinator alone to stop, even if it is only just starting, and returns its exit status.
  package func stopCoordinator() async throws -> Int32? {
    try await coordinator?.waitUntilHandling(SIGTERM)
    coordinator?.signal(SIGTERM)
    defer { coordinator = nil }
    return try await coordinator?.exit(within: .seconds(40))
  }

  /// Asks one datanode to stop, even if it is only just starting, and returns its exit status.
  package func stopDatanode(_ number: Int) async throws -> Int32? {
    let datanode = datanodes.removeValue(forKey: number)
    try await datanode?.waitUntilHandling(SIGTERM)
    datanode?.signal(SIGTERM)
    return try await datanode?.exit(within: .seconds(40))
  }

  /// The exit status of a server that ends by itself.
  package func exitOfCoordinator(within limit: Duration) async throws -> Int32? {
    defer { coordinator = nil }
    return try await coordinator?.exit(within: limit)
  }
  package func exitOfDatanode(_ number: Int, within limit: Duration) async throws -> Int32? {
    try await datanodes.removeValue(forKey: number)?.exit(within: limit)
  }

  /// Whether the process still runs.
  package func isRunning(_ number: Int) -> Bool { datanodes[number]?.isRunning ?? false }
  package var isCoordinatorRunning: Bool { coordinator?.isRunning ?? false }

  /// Kills every process at the same moment.
  package func killAll() async throws {
    let all = [coordinator].compactMap { $0 } + datanodes.values
    for program in all { program.signal(SIGKILL) }
    for program in all { _ = try await program.exit(within: .seconds(10)) }
    coordinator = nil
    datanodes = [:]
  }

  package struct Stopped: Error { package let statuses: [Int32] }

  /// Asks every process to stop and waits for it; returns their exit statuses, the coordinator's first.
  package func stop() async throws -> [Int32] {
    let all = [coordinator].compactMap { $0 } + datanodes.values
    for program in all {
      try await program.waitUntilHandling(SIGTERM)
      program.signal(SIGTERM)
    }
    var statuses: [Int32] = []
    for program in all { statuses.append(try await program.exit(within: .seconds(40))) }
    coordinator = nil
    datanodes = [:]
    return statuses
  }

  /// Waits until `count` datanodes are up. Throws when that takes longer than `limit`.
  package func waitForNodes(_ count: Int, limit: Duration = .seconds(30)) async throws {
    let end = ContinuousClock.now.advanced(by: limit)
    var last = ""
    while ContinuousClock.now < end {
      let run = try await dfsd(["status", "--json"], limit: .seconds(20))
      last = run.output + run.errors
      if run.status == 0,
        let status = try? JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any],
        status["nodes_up"] as? Int == count
      {
        return
      }
      try await Task.sleep(for: .milliseconds(200))
    }
    throw ProgramRun.TimedOut(description: "the cluster has not got \(count) datanodes: \(last)\n\(logs())")
  }

  /// Runs a client command against this cluster.
  package nonisolated func dfsd(
    _ arguments: [String], environment: [String: String] = [:], input: Data? = nil, outputFile: String? = nil,
    limit: Duration = .seconds(120)
  ) async throws -> ProgramRun {
    let command = (namespace?.wrapper ?? []) + [Self.program] + arguments
    return try await ProgramRun.run(
      command[0], Array(command.dropFirst()),
      environment: ["DFS_COORDINATORS": coordinatorAddress].merging(environment) { $1 }, input: input,
      outputFile: outputFile, limit: limit)
  }

  /// Starts a client command that goes on beside the test.
  package nonisolated func startClient(_ arguments: [String], log: String) throws -> StartedProgram {
    let command = (namespace?.wrapper ?? []) + [Self.program] + arguments
    return try StartedProgram(
      command[0], Array(command.dropFirst()), environment: ["DFS_COORDINATORS": coordinatorAddress],
      output: "\(directory.path)/\(log)", errors: "\(directory.path)/\(log)")
  }

  /// Drops every packet that processes of this user send, on an isolated cluster; `nil` lets all pass again.
  package nonisolated func cutOff(user: Int?) async throws {
    guard let namespace else { preconditionFailure("only an isolated cluster can be cut") }
    try await namespace.cutOff(user: user)
  }

  /// What a datanode is cut off from.
  package enum Cut: String, Sendable, CaseIterable {
    case everybody, coordinator, peers
  }

  /// Drops what the datanode sends to these, on an isolated cluster where it has a user of its own; all other
  /// cuts end.
  package nonisolated func cut(_ number: Int, from others: Cut) async throws {
    guard let namespace, let user = settings.users[number] else {
      preconditionFailure("only a node of an isolated cluster with a user of its own can be cut off")
    }
    let ports: [Int]? =
      switch others {
      case .everybody: nil
      case .coordinator: [coordinatorPort]
      case .peers: datanodePorts
      }
    try await namespace.cutOff(user: user, fromPorts: ports)
  }

  /// Runs `body` on a thread inside of the cluster's network: threads that it starts are there, too.
  package nonisolated func inside<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    guard let namespace else { return try body() }
    return try await namespace.inside(body)
  }

  /// The object that `dfsd status --json` prints.
  package nonisolated func status() async throws -> [String: Any] {
    let run = try await dfsd(["status", "--json"], limit: .seconds(30))
    let object = try JSONSerialization.jsonObject(with: Data(run.output.utf8))
    return object as? [String: Any] ?? [:]
  }

  /// The last lines of every log, for the message of a failed test.
  package nonisolated func logs(lines: Int = 15) -> String {
    logNames.map { name in
      let text = (try? String(contentsOfFile: "\(directory.path)/\(name)", encoding: .utf8)) ?? ""
      return "--- \(name)\n" + text.split(separator: "\n").suffix(lines).joined(separator: "\n")
    }.joined(separator: "\n")
  }

  private nonisolated var logNames: [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
    return names.filter { $0.hasSuffix(".log") }.sorted()
  }

  /// Copies every log to `target`, where it outlives the value.
  package nonisolated func keepLogs(in target: String) throws {
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    for name in logNames {
      try? FileManager.default.removeItem(atPath: "\(target)/\(name)")
      try FileManager.default.copyItem(atPath: "\(directory.path)/\(name)", toPath: "\(target)/\(name)")
    }
  }
}

/// Ports that nothing listens on at this moment.
package func freePorts(_ count: Int) throws -> [Int] {
  var sockets: [Int32] = []
  defer { for socket in sockets { close(socket) } }
  return try (0..<count).map { _ in
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    sockets.append(descriptor)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard descriptor >= 0, bound else { throw POSIXError(.EADDRNOTAVAIL) }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
