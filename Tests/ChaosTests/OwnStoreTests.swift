import DFSClient
import DFSCore
import Foundation
import TestSupport
import Testing

/// The coordinator's own store is hurt while it is stopped. Then it refuses to start and says what to do, or
/// it serves everything, or it answers with an error: never does it serve less.
@Suite(.serialized) struct `The coordinator's own store` {
  enum Harm: String, CaseIterable, Sendable {
    case flipped, truncated, removed
  }
  /// RocksDB's files by what they are for.
  enum Part: String, CaseIterable, Sendable {
    case log = ".log", table = ".sst", manifest = "MANIFEST-", current = "CURRENT"
  }

  @Test(arguments: Part.allCases)
  func `is hurt: nothing that was acknowledged is said not to exist`(_ part: Part) async throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let cluster = try ProcessCluster(ProcessCluster.Settings(datanodes: 0))
    try ClientLog.write(to: cluster.directory.path + "/clients.log")
    let paths = try await fill(cluster)
    let pristine = cluster.directory.path + "/pristine"
    try FileManager.default.copyItem(atPath: cluster.coordinatorDirectory, toPath: pristine)
    for harm in Harm.allCases {
      try FileManager.default.removeItem(atPath: cluster.coordinatorDirectory)
      try FileManager.default.copyItem(atPath: pristine, toPath: cluster.coordinatorDirectory)
      let harmed = try harm.apply(to: part, of: cluster.coordinatorDirectory, &random)
      let outcome = try await start(cluster, paths, "\(harm) \(harmed)")
      print("own store: \(harm) \(harmed): \(outcome)")
      try await cluster.killAll()
    }
  }

  /// Directories and small files, some of them in tables, the last ones in the log.
  private func fill(_ cluster: ProcessCluster) async throws -> [String] {
    var paths: [String] = []
    for round in 0..<3 {
      try await cluster.startCoordinator()
      let client = try await ChaosSite.connect(to: cluster)
      for number in 0..<40 {
        let path = "/\(round)-\(number)"
        if number % 4 == 0 {
          try await client.makeDirectory(try RemotePath(path))
        } else {
          let content = Content(seed: UInt64(round * 100 + number), length: 16 + number * 50)
          try await client.upload(bytes: content.bytes, to: try RemotePath(path))
        }
        paths.append(path)
      }
      await client.close()
      try await cluster.killCoordinator()
    }
    return paths
  }

  private func start(_ cluster: ProcessCluster, _ paths: [String], _ harm: String) async throws -> String {
    let log = cluster.directory.path + "/coordinator.log"
    try Data().write(to: URL(fileURLWithPath: log))
    try await cluster.startCoordinator()
    let client = try await ChaosSite.connect(to: cluster, patience: .milliseconds(500))
    defer { Task { await client.close() } }
    let end = ContinuousClock.now.advanced(by: .seconds(20))
    var errors = 0
    while ContinuousClock.now < end {
      if await !cluster.isCoordinatorRunning {
        let text = try String(contentsOfFile: log, encoding: .utf8)
        // A person must learn what is broken and what to do.
        #expect(text.contains(cluster.coordinatorDirectory), "\(harm): \(text)")
        #expect(text.contains("recover") || text.contains("restore"), "\(harm): \(text)")
        return "refused"
      }
      if (try? await client.stat(.root)) != nil { break }
    }
    for path in paths {
      do {
        _ = try await client.stat(try RemotePath(path))
      } catch let error as DFSError {
        errors += 1
        #expect(error.code != .notFound, "\(harm): \(path) was acknowledged and is not found")
        guard error.code != .notFound else { return "serves less" }
      }
    }
    return "serves, with \(errors) errors"
  }
}

extension `The coordinator's own store`.Harm {
  /// Hurts the newest file of this kind; returns its name.
  fileprivate func apply(
    to part: `The coordinator's own store`.Part, of directory: String, _ random: inout SeededGenerator
  ) throws -> String {
    var disk = DiskDamage(directory: directory, random: random)
    defer { random = disk.random }
    let all = disk.files(below: "metadata").filter { file in
      let name = file.split(separator: "/").last.map(String.init) ?? ""
      return name.hasPrefix(part.rawValue) || name.hasSuffix(part.rawValue)
    }
    let file = try #require(
      all.last { (try? FileManager.default.attributesOfItem(atPath: $0)[.size] as? Int) != 0 })
    switch self {
    case .flipped: try disk.flip(file)
    case .truncated: try disk.truncate(file)
    case .removed: try FileManager.default.removeItem(atPath: file)
    }
    return String(file.dropFirst(directory.count + 1))
  }
}
