import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: isRoot, "mounting an image and tracing need root")) struct `A disk fails` {
  @Test func `because it is full: the node refuses politely, others take over, deletes still work`()
    async throws
  {
    // Equal disks, for a small one would get next to no chunks.
    let disks = try (0..<4).map { _ in try LoopDisk(mebibytes: 500) }
    var settings = ProcessCluster.Settings(datanodes: 4)
    settings.coordinatorArguments = [
      "--set", "coordinator.reap_grace=1s", "--set", "coordinator.pin_lease=5s",
    ]
    settings.datanodeArguments = ["--set", "datanode.reserve=16MiB"]
    for (number, disk) in disks.enumerated() { settings.dataDirectories[number] = disk.path + "/data" }
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 40 << 20)
    for number in 0..<2 {
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(number)"]), cluster)
    }
    #expect(chunkFiles(in: disks[3].path + "/data").count > 0)
    try disks[3].fill()
    for number in 2..<6 {
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(number)"]), cluster)
    }
    for number in 0..<6 {
      expectSuccess(try await cluster.dfsd(["get", "/file-\(number)", files.path("target")]), cluster)
      try expectSameBytes(source, files.path("target"))
    }
    for number in 0..<6 { expectSuccess(try await cluster.dfsd(["rm", "--now", "/file-\(number)"]), cluster) }
    let end = ContinuousClock.now.advanced(by: .seconds(60))
    while !chunkFiles(in: disks[3].path + "/data").isEmpty, ContinuousClock.now < end {
      try await Task.sleep(for: .milliseconds(500))
    }
    #expect(chunkFiles(in: disks[3].path + "/data").isEmpty, "\(cluster.logs())")
    #expect(await cluster.datanodePID(3).map { kill($0, 0) } == 0, "the node with the full disk ended")
    _ = try await cluster.stop()
  }

  @Test func `because a sync fails: the disk is out of use, the put goes on with the others`() async throws {
    var settings = ProcessCluster.Settings()
    // The identity and the first epochs are synced while the node starts; chunks come later. strace counts by
    // thread, so one does all the work.
    settings.datanodeArguments = ["--set", "datanode.disk_threads=1"]
    settings.datanodeWrappers[1] = [
      "/usr/bin/strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
      "inject=fdatasync:error=EIO:when=14+",
    ]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let source = try files.make("source", bytes: 20 << 20)
    for number in 0..<8 {
      expectSuccess(try await cluster.dfsd(["put", source, "/file-\(number)"]), cluster)
    }
    let end = ContinuousClock.now.advanced(by: .seconds(20))
    var readOnly: [[String: Any]] = []
    while readOnly.isEmpty, ContinuousClock.now < end {
      let nodes = try await cluster.status()["nodes"] as? [[String: Any]] ?? []
      readOnly = nodes.filter { $0["writable"] as? Bool == false }
      try await Task.sleep(for: .milliseconds(300))
    }
    #expect(readOnly.count == 1, "\(cluster.logs())")
    #expect((readOnly.first?["reason"] as? String ?? "").isEmpty == false)
    for number in 0..<8 {
      expectSuccess(try await cluster.dfsd(["get", "/file-\(number)", files.path("target")]), cluster)
      try expectSameBytes(source, files.path("target"))
    }
  }

  @Test func `deleted files give their space back, large chunks and small ones`() async throws {
    var settings = ProcessCluster.Settings()
    settings.coordinatorArguments = [
      "--set", "coordinator.reap_grace=1s", "--set", "coordinator.pin_lease=5s",
    ]
    let cluster = try ProcessCluster(settings)
    try await cluster.start()
    var files = try LocalFiles()
    let large = try files.make("large", bytes: 40 << 20)
    let small = try files.make("small", bytes: 100_000)
    expectSuccess(try await cluster.dfsd(["put", large, "/large"]), cluster)
    for number in 0..<20 {
      expectSuccess(try await cluster.dfsd(["put", small, "/small-\(number)"]), cluster)
    }
    let full = try await stored(in: cluster) { $0 >= 3 * ((40 << 20) + 20 * 100_000) }
    #expect(full >= 3 * ((40 << 20) + 20 * 100_000))
    expectSuccess(try await cluster.dfsd(["rm", "--now", "/large"]), cluster)
    for number in 0..<20 { expectSuccess(try await cluster.dfsd(["rm", "--now", "/small-\(number)"]), cluster) }
    let empty = try await stored(in: cluster) { $0 == 0 }
    #expect(empty == 0, "\(cluster.logs())")
    for number in 0..<3 { #expect(chunkFiles(in: cluster.dataDirectory(ofDatanode: number)).isEmpty) }
  }

  /// What chunks take on all disks, as soon as `isExpected` or after a minute.
  private func stored(in cluster: ProcessCluster, _ isExpected: (Int) -> Bool) async throws -> Int {
    let end = ContinuousClock.now.advanced(by: .seconds(60))
    while true {
      let bytes = try await cluster.status()["stored_bytes"] as? Int ?? -1
      if isExpected(bytes) || ContinuousClock.now > end { return bytes }
      try await Task.sleep(for: .milliseconds(300))
    }
  }
}

/// A small ext4 file system in an image, mounted for one test.
private final class LoopDisk: Sendable {
  let directory: TemporaryDirectory
  var path: String { directory.path + "/mount" }

  init(mebibytes: Int) throws {
    directory = try TemporaryDirectory("dfs-disk")
    let image = directory.path + "/image"
    try FileManager.default.createDirectory(
      atPath: directory.path + "/mount", withIntermediateDirectories: true)
    try Self.run(["truncate", "-s", "\(mebibytes)M", image])
    try Self.run(["mkfs.ext4", "-q", "-F", image])
    try Self.run(["mount", "-o", "loop", image, directory.path + "/mount"])
  }

  deinit { try? Self.run(["umount", "-l", path]) }

  /// Leaves not one block free.
  func fill() throws {
    let filler = Process()
    filler.executableURL = URL(fileURLWithPath: "/bin/dd")
    filler.arguments = ["if=/dev/zero", "of=\(path)/filler", "bs=1M", "status=none"]
    filler.standardError = FileHandle.nullDevice
    try filler.run()
    filler.waitUntilExit()
  }

  private static func run(_ command: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ProgramRun.TimedOut(
        description: "\(command.joined(separator: " ")) ended with \(process.terminationStatus)")
    }
  }
}
