import DFSClient
import DFSCore
import Foundation

/// Fills a cluster, kills one of its datanodes, and watches it heal.
struct RepairBench {
  let client: DFSClient
  let cluster: BenchCluster
  let datanodes: Int
  let chunks: Int
  let chunkSize: ChunkSize
  /// Says nothing of what it is doing.
  let isQuiet: Bool

  private static let chunksPerFile = 100
  private static let operationBytes = 64 << 10
  /// A foreground sample lasts so long.
  private static let sample = Duration.seconds(5)
  /// Samples with repair, and as many without.
  private static let turns = 4
  private let clock = ContinuousClock()

  func run(_ ceilings: MachineCeilings) async throws -> RepairReport {
    var report = RepairReport(ceilings: ceilings)
    report.chunks = chunks
    report.chunkBytes = chunkSize.bytes
    report.datanodes = datanodes
    _ = try await wait(for: "\(datanodes) datanodes", atMost: .seconds(60)) { $0.nodesUp == datanodes }
    say("storing \(chunks) chunks of \(chunkSize)")
    let files = try await fill()
    say("measuring the foreground")
    report.before = .init(try await foreground(files, for: Self.sample * Self.turns))

    say("killing a datanode")
    let kill = clock.now
    cluster.killLastDatanode()
    let undetected = Task { [client, chunkSize] in try await Self.read(files, chunkSize.bytes, client) }
    let down = try await wait(for: "the dead datanode to be noticed", atMost: .seconds(120)) {
      $0.nodesUp < datanodes
    }
    undetected.cancel()
    report.undetected = .init(try await undetected.value)
    report.detected = kill.duration(to: down).seconds

    say("waiting for the first copy")
    let first = try await wait(for: "the first copy", atMost: .seconds(600)) { $0.repair.repairedChunks > 0 }
    report.firstCopy = kill.duration(to: first).seconds
    try await watch(files, since: first, &report)
    report.healed = kill.duration(to: clock.now).seconds
    report.repairedChunks = try await client.status().repair.repairedChunks
    return report
  }

  /// Lets a third of the copies be made in peace, puts the foreground beside it, then waits for the rest.
  private func watch(
    _ files: [RemotePath], since first: ContinuousClock.Instant, _ report: inout RepairReport
  ) async throws {
    say("repair on its own")
    let begin = try await client.status().repair.repairedBytes
    // Of four nodes, each has three quarters of all chunks.
    let third = Int64(chunks) * Int64(chunkSize.bytes) * 3 / Int64(datanodes) / 3
    let alone = try await wait(for: "a third of the copies", atMost: .seconds(900)) {
      ($0.repair.repairedBytes - begin).rawValue >= third || isHealed($0)
    }
    let middle = try await client.status().repair.repairedBytes
    report.idleRate = Double((middle - begin).rawValue) / max(0.001, first.duration(to: alone).seconds)
    guard try await !isHealed(client.status()) else { return }
    try await takeTurns(files, &report)
    say("waiting until everything is whole")
    _ = try await wait(for: "all copies", atMost: .seconds(1800), until: isHealed)
  }

  /// The foreground beside repair and beside none, in turn: the machine's speed changes by more from one minute to
  /// the next than repair changes the latencies.
  private func takeTurns(_ files: [RemotePath], _ report: inout RepairReport) async throws {
    say("a foreground, in turn beside repair and while it pauses")
    var (during, between): ([Double], [Double]) = ([], [])
    var (loaded, time) = (Int64(0), 0.0)
    for _ in 0..<Self.turns {
      let (before, start) = (try await client.status().repair.repairedBytes, clock.now)
      during += try await foreground(files, for: Self.sample)
      time += start.duration(to: clock.now).seconds
      loaded += (try await client.status().repair.repairedBytes - before).rawValue
      try await pauseRepair()
      between += try await foreground(files, for: Self.sample)
      try await client.controlJob(Self.repair, .resume, at: .coordinator)
    }
    (report.during, report.between) = (.init(during), .init(between))
    report.loadedRate = Double(loaded) / time
  }

  private static let repair = "repair"

  /// Returns when the copies that were under way are made.
  private func pauseRepair() async throws {
    try await client.controlJob(Self.repair, .pause, at: .coordinator)
    while try await client.jobs(.coordinator).jobs.contains(where: { $0.name == Self.repair && $0.isWorking })
    {
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  private func isHealed(_ status: ClusterStatus) -> Bool {
    status.groupsDegraded == 0 && status.repair.chunksLeft == 0
  }

  // MARK: Work

  private func fill() async throws -> [RemotePath] {
    let root = try RemotePath("/bench-repair")
    try await client.makeDirectory(root)
    let count = (chunks + Self.chunksPerFile - 1) / Self.chunksPerFile
    var options = UploadOptions()
    options.chunkSize = chunkSize
    let length = Self.chunksPerFile * chunkSize.bytes
    let (client, upload) = (client, options)
    return try await withThrowingTaskGroup(of: RemotePath.self) { group in
      var files: [RemotePath] = []
      for number in 0..<count {
        if number >= 3, let file = try await group.next() { files.append(file) }
        group.addTask {
          let path = root.appending(try FileName("f\(number)"))
          // Different in every block, so that no two chunks are the same.
          var content = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: length)
          for block in stride(from: 0, to: length, by: 4096) {
            withUnsafeBytes(of: UInt64(block) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(number)) {
              content.replaceSubrange(block..<block + 8, with: $0)
            }
          }
          try await client.upload(bytes: content, to: path, options: upload)
          return path
        }
      }
      for try await file in group { files.append(file) }
      return files
    }
  }

  /// Reads and writes of 64 KiB by four clients, in turn. Gives the time each took.
  private func foreground(_ files: [RemotePath], for duration: Duration) async throws -> [Double] {
    let (client, clock, chunkBytes) = (client, clock, chunkSize.bytes)
    let end = clock.now.advanced(by: duration)
    let directory = try RemotePath("/bench-repair")
    return try await withThrowingTaskGroup(of: [Double].self) { group in
      for worker in 0..<4 {
        group.addTask {
          var latencies: [Double] = []
          let content = [UInt8](repeating: UInt8(worker), count: Self.operationBytes)
          let target = directory.appending(try FileName("foreground-\(worker)"))
          var turn = 0
          while clock.now < end {
            turn += 1
            let start = clock.now
            if turn.isMultiple(of: 4) {
              try await client.upload(bytes: content, to: target)
            } else {
              try await Self.readBlock(of: files, chunkBytes, client)
            }
            latencies.append(start.duration(to: clock.now).seconds)
          }
          return latencies
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
  }

  /// Reads blocks here and there until it is cancelled.
  private static func read(
    _ files: [RemotePath], _ chunkBytes: Int, _ client: DFSClient
  ) async throws -> [Double] {
    let clock = ContinuousClock()
    var latencies: [Double] = []
    while !Task.isCancelled {
      let start = clock.now
      do {
        try await readBlock(of: files, chunkBytes, client)
      } catch {
        if Task.isCancelled { break }
        throw error
      }
      latencies.append(start.duration(to: clock.now).seconds)
    }
    return latencies
  }

  private static func readBlock(
    of files: [RemotePath], _ chunkBytes: Int, _ client: DFSClient
  ) async throws {
    guard let file = files.randomElement() else { return }
    let start = Int64(Int.random(in: 0..<chunksPerFile) * chunkBytes)
    let bytes = try await client.read(file, range: start..<start + Int64(operationBytes))
    guard bytes.count == operationBytes else {
      throw BenchError("a read came back with \(bytes.count) bytes")
    }
  }

  // MARK: Watching

  /// Looks ten times a second until `until` holds; gives the moment.
  private func wait(
    for what: String, atMost limit: Duration, until: (ClusterStatus) -> Bool
  ) async throws -> ContinuousClock.Instant {
    let end = clock.now.advanced(by: limit)
    while true {
      if until(try await client.status()) { return clock.now }
      guard clock.now < end else { throw BenchError("waited \(limit) in vain for \(what)") }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  private func say(_ text: String) {
    if !isQuiet { Terminal.note(text) }
  }
}
