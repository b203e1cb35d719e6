import DFSCore
import Foundation

/// A process of the cluster that is measured, and the role it plays.
struct MeasuredProcess: Hashable, Sendable {
  var role: String
  var pid: Int32
}

/// One coordinator and some datanodes as processes of this very program, in a directory of their own that
/// goes away with them.
final class BenchCluster {
  let address: String
  let processes: [MeasuredProcess]
  private let directory: String
  private let running: [Process]
  private let logs: [String]

  /// Starts everything below `parent`; the servers' logs lie there too until `stop()`. `settings` are for the
  /// coordinator, as `--set` takes them.
  init(in parent: String, datanodes: Int, settings: [String] = []) throws {
    directory = parent + "/dfs-bench-\(ProcessInfo.processInfo.processIdentifier)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let ports = try Self.freePorts(datanodes + 1)
    let coordinator = "127.0.0.1:\(ports[0])"
    address = coordinator
    var running: [Process] = []
    var processes: [MeasuredProcess] = []
    var logs: [String] = []
    let directory = directory
    func launch(_ role: String, _ name: String, _ arguments: [String]) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      process.arguments = arguments
      let log = "\(directory)/\(name).log"
      guard FileManager.default.createFile(atPath: log, contents: nil),
        let handle = FileHandle(forWritingAtPath: log)
      else { throw BenchError("cannot create \(log): \(errnoText())") }
      process.standardOutput = handle
      process.standardError = handle
      process.standardInput = FileHandle.nullDevice
      try process.run()
      running.append(process)
      logs.append(log)
      processes.append(MeasuredProcess(role: role, pid: process.processIdentifier))
    }
    do {
      try launch(
        "coordinator", "coordinator",
        ["coordinator", "--listen", coordinator, "--data", directory + "/coordinator"]
          + settings.flatMap { ["--set", $0] })
      for number in 1...datanodes {
        try launch(
          "datanode", "datanode-\(number)",
          [
            "datanode", "--listen", "127.0.0.1:\(ports[number])", "--data", "\(directory)/datanode-\(number)",
            "--coordinators", coordinator,
          ])
      }
    } catch {
      for process in running { process.terminate() }
      throw error
    }
    self.running = running
    self.logs = logs
    self.processes = processes
  }

  /// What a process said that has ended by itself, such as one that was given settings it refuses.
  var failure: BenchError? {
    for (process, log) in zip(running, logs) where !process.isRunning && process.terminationStatus > 0 {
      let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
      return BenchError("a process of the cluster ended:\n" + text.suffix(1000))
    }
    return nil
  }

  /// Ends the last datanode as a power cut would.
  func killLastDatanode() {
    guard let last = running.last, last.isRunning else { return }
    kill(last.processIdentifier, SIGKILL)
    last.waitUntilExit()
  }

  /// Stops every process, then removes the directory.
  func stop() {
    for process in running where process.isRunning { process.terminate() }
    for process in running { process.waitUntilExit() }
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// The servers of a cluster that runs on this machine already, found by their command lines.
  static func localProcesses() -> [MeasuredProcess] {
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return entries.compactMap { Int32($0) }.compactMap { pid in
      guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else { return nil }
      let words = data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      guard words.count > 1, words[0].hasSuffix("dfsd"), ["coordinator", "datanode", "up"].contains(words[1])
      else { return nil }
      return MeasuredProcess(role: words[1], pid: pid)
    }
  }

  private static func freePorts(_ count: Int) throws -> [Int] {
    var sockets: [Int32] = []
    defer { for socket in sockets { close(socket) } }
    return try (0..<count).map { _ in
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      guard descriptor >= 0 else { throw BenchError("no socket: \(errnoText())") }
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
      guard bound else { throw BenchError("no free port: \(errnoText())") }
      return Int(UInt16(bigEndian: address.sin_port))
    }
  }
}
