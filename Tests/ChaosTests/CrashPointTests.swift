import DFSClient
import DFSCore
import Foundation
import TestSupport
import Testing

/// strace kills a server at its Nth system call of one kind, or lets that call fail; then it starts again,
/// and what was acknowledged is there. One datanode with one copy, so that nobody else can stand in for it.
///
/// A few points in each run, chosen by the seed; `DFS_CRASH_POINTS` chooses another number.
@Suite(.serialized, .enabled(if: isRoot, "tracing needs root")) struct `A server stops at any system call` {
  private static var points: Int {
    ProcessInfo.processInfo.environment["DFS_CRASH_POINTS"].flatMap { Int($0) } ?? 4
  }

  enum Harm: String, CaseIterable, Sendable {
    case killed, failed

    func injection(_ call: String, _ number: Int) -> [String] {
      let what = self == .killed ? "signal=KILL" : "error=EIO"
      // A disk that failed once goes on failing.
      let count = self == .killed ? "\(number)" : "\(number)+"
      return [
        "/usr/bin/strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
        "inject=\(call):\(what):when=\(count)",
      ]
    }
  }

  /// The calls that make things durable, and about how many a thread makes from the server's start to the end
  /// of the work below. strace counts by thread.
  private static let datanodeCalls = [
    ("fdatasync", 30), ("fsync", 20), ("pwrite64", 20), ("renameat2", 8), ("rename", 6), ("openat", 60),
    ("unlink", 6),
  ]
  private static let coordinatorCalls = [("fdatasync", 30), ("fsync", 10), ("rename", 4), ("openat", 40)]
  /// Also what wakes a loop: to fail it would be another test.
  private static let write = [("write", 40)]

  @Test(arguments: Harm.allCases)
  func `a datanode: what it acknowledged is there when it is back`(_ harm: Harm) async throws {
    let bench = try await CrashBench(datanodeArguments: ["datanode.disk_threads=1"])
    try await bench.run(Self.points, Self.datanodeCalls + (harm == .killed ? Self.write : []), harm) {
      cluster, wrapper in
      try await cluster.startCoordinator()
      try await cluster.startDatanode(0, wrapper: wrapper)
    }
  }

  @Test(arguments: Harm.allCases)
  func `the coordinator: what it acknowledged is there when it is back`(_ harm: Harm) async throws {
    let bench = try await CrashBench(coordinatorArguments: ["coordinator.disk_threads=1"])
    try await bench.run(Self.points, Self.coordinatorCalls + (harm == .killed ? Self.write : []), harm) {
      cluster, wrapper in
      try await cluster.startCoordinator(wrapper: wrapper)
      try await cluster.startDatanode(0)
    }
  }
}

/// A small cluster that is started with one harmed server again and again.
private struct CrashBench {
  private let cluster: ProcessCluster
  private let history = History()
  /// Gives up soon.
  private let worker: LibraryAccess
  /// Does not.
  private let reader: LibraryAccess

  init(coordinatorArguments: [String] = [], datanodeArguments: [String] = []) async throws {
    var settings = ProcessCluster.Settings(datanodes: 1)
    let common = ["transport.drain_grace=1s"]
    let coordinator = [
      "coordinator.replicas=1", "coordinator.chunk_size=1MiB", "coordinator.reap_grace=0s",
      "coordinator.inline_limit=2KiB",
    ]
    settings.coordinatorArguments = (common + coordinator + coordinatorArguments).flatMap { ["--set", $0] }
    settings.datanodeArguments = (common + datanodeArguments).flatMap { ["--set", $0] }
    cluster = try ProcessCluster(settings)
    try ClientLog.write(to: cluster.directory.path + "/clients.log")
    worker = LibraryAccess(client: try Self.connect(cluster, patience: .seconds(1)))
    reader = LibraryAccess(client: try Self.connect(cluster, patience: .seconds(15)))
    try await cluster.start()
    try await reader.makeDirectory("/d")
  }

  private static func connect(_ cluster: ProcessCluster, patience: Duration) throws -> DFSClient {
    var configuration = ClientConfiguration()
    configuration.patience = patience
    configuration.connectTimeout = patience
    configuration.writeStallTimeout = .seconds(2)
    return try DFSClient.connect(
      coordinators: [try Endpoint(cluster.coordinatorAddress)], configuration: configuration)
  }

  /// At each of so many points: starts everything anew with one server harmed, works until that stops, starts
  /// everything unharmed and compares.
  func run(
    _ points: Int, _ calls: [(String, Int)], _ harm: `A server stops at any system call`.Harm,
    _ start: (ProcessCluster, [String]) async throws -> Void
  ) async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    var struck: [String] = []
    for _ in 0..<points {
      let (call, count) = calls.randomElement(using: &random) ?? ("fdatasync", 10)
      let number = Int.random(in: 1...count, using: &random)
      let point = "\(harm) at \(call) \(number)"
      try await cluster.killAll()
      try await start(cluster, harm.injection(call, number))
      if await work(point) { struck.append(point) }
      try await cluster.killAll()
      try await cluster.start()
      try await compare(point)
    }
    print("crash points: \(struck.count) of \(points) struck: \(struck.joined(separator: ", "))")
    for line in history.counts.lines { print("crash points: \(line)") }
    #expect(history.counts.total(.acknowledged) > points)
    _ = try await cluster.stop()
    await worker.client.close()
    await reader.client.close()
  }

  /// Returns whether something failed.
  private func work(_ point: String) async -> Bool {
    let name = "/d/" + point.replacingOccurrences(of: " ", with: "-")
    var failures = 0
    for (number, size) in [1000, 100_000, 600_000, 50_000, 1_500_000, 300, 200_000].enumerated() {
      let path = "\(name)-\(number)"
      let content = Content(seed: UInt64(number) + 1, length: size)
      let isPut = await change([path: .content(content)], "put") { try await worker.put(content.bytes, path) }
      if isPut, number % 3 == 1 {
        _ = await change([path: .absent], "remove") { _ = try await worker.remove(path) }
      } else if isPut, number % 3 == 2 {
        _ = await change([path: .absent, path + "-moved": .content(content)], "move") {
          try await worker.move(path, to: path + "-moved")
        }
      }
      failures += isPut ? 0 : 1
      // A dead server makes everything fail.
      if failures == 2 { break }
    }
    return failures > 0
  }

  private func change(
    _ values: [String: Register.Value], _ kind: String, _ body: () async throws -> Void
  ) async -> Bool {
    let operation = history.begin(values)
    do {
      try await body()
      history.end(operation, kind, .acknowledged)
      return true
    } catch {
      history.end(operation, kind, History.Outcome(error))
      return false
    }
  }

  private func compare(_ point: String) async throws {
    for path in history.paths {
      let read = history.beginRead(path)
      do {
        history.endRead(read, found: try await reader.read(path))
      } catch let error as DFSError where error.code == .notFound {
        history.endRead(read, found: nil)
      } catch {
        history.endReadWithoutAnswer(read)
        history.note(path, "can not be read: \(error)")
      }
    }
    #expect(history.violations.isEmpty, "\(point): \(history.violations)\n\(cluster.logs(lines: 8))")
    try #require(history.violations.isEmpty)
  }
}
