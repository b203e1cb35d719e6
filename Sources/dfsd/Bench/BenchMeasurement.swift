import Foundation
import Synchronization

/// One case's figures. Times in the JSON are seconds, sizes bytes.
struct BenchResult: Codable, Sendable {
  var name: String
  /// Operations, and the bytes of content they moved in all.
  var operations: Int
  var bytes: Int64
  var wall: Double
  /// User and system time of the client and every server.
  var cpu: Double
  var cpuByRole: [String: Double]
  var p50: Double
  var p99: Double
  /// The largest resident size of any process of the role during the case.
  var peakResidentByRole: [String: Int64]
  /// What the machine's own limit is, in the same unit, and which one.
  var ceiling: Ceiling?

  struct Ceiling: Codable, Sendable {
    var name: String
    /// Our share of it, 1 being all of it.
    var share: Double
  }

  private enum CodingKeys: String, CodingKey {
    case name, operations, bytes, p50, p99, ceiling
    case wall = "wall_s"
    case cpu = "cpu_s"
    case cpuByRole = "cpu_s_by_role"
    case peakResidentByRole = "peak_resident_bytes_by_role"
  }

  var megabytesPerSecond: Double { Double(bytes) / 1e6 / wall }
  var operationsPerSecond: Double { Double(operations) / wall }
  /// Milliseconds of CPU, everybody's, for one operation.
  var cpuPerOperation: Double { cpu * 1000 / Double(operations) }
}

/// Measures cases against a set of processes and this one.
struct BenchMeter {
  let processes: [MeasuredProcess]

  private var all: [MeasuredProcess] {
    processes + [MeasuredProcess(role: "client", pid: ProcessInfo.processInfo.processIdentifier)]
  }

  /// Runs `operations` calls of `body` in `parallel` tasks, each one call after another, and measures them together.
  func measure(
    _ name: String, operations: Int, bytes: Int64, parallel: Int = 1,
    _ body: @escaping @Sendable (_ number: Int) async throws -> Void
  ) async throws -> BenchResult {
    for process in all { ProcessUsage.resetPeak(pid: process.pid) }
    let before = usages()
    let clock = ContinuousClock()
    let start = clock.now
    let turns = Turns()
    let latencies = try await withThrowingTaskGroup(of: [Duration].self) { group in
      for _ in 0..<parallel {
        group.addTask {
          var latencies: [Duration] = []
          while true {
            let number = turns.next()
            guard number < operations else { return latencies }
            let start = clock.now
            try await body(number)
            latencies.append(start.duration(to: clock.now))
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }.sorted()
    }
    let wall = start.duration(to: clock.now).seconds
    let after = usages()
    var cpu: [String: Double] = [:]
    var peaks: [String: Int64] = [:]
    for (process, usage) in after {
      let earlier = before[process]?.cpu ?? .zero
      cpu[process.role, default: 0] += (usage.cpu - earlier).seconds
      peaks[process.role] = max(peaks[process.role] ?? 0, usage.peakResident)
    }
    func quantile(_ share: Double) -> Double {
      latencies[min(latencies.count - 1, Int(Double(latencies.count) * share))].seconds
    }
    return BenchResult(
      name: name, operations: operations, bytes: bytes, wall: wall, cpu: cpu.values.reduce(0, +),
      cpuByRole: cpu,
      p50: quantile(0.5), p99: quantile(0.99), peakResidentByRole: peaks)
  }

  private func usages() -> [MeasuredProcess: ProcessUsage] {
    Dictionary(
      uniqueKeysWithValues: all.compactMap { process in
        ProcessUsage(pid: process.pid).map { (process, $0) }
      })
  }
}

/// Numbers from 0, each given to one of many tasks.
private final class Turns: Sendable {
  private let count = Atomic(0)

  func next() -> Int { count.add(1, ordering: .relaxed).oldValue }
}
