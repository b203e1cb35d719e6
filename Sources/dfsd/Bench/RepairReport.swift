import Foundation

/// What one run of `dfsd bench repair` found. Times are seconds since the kill unless they say otherwise.
struct RepairReport: Codable, Sendable {
  /// Latencies of a foreground of reads and writes of 64 KiB, in seconds.
  struct Foreground: Codable, Sendable {
    var operations = 0
    var p50 = 0.0
    var p99 = 0.0

    init(_ latencies: [Double]) {
      let sorted = latencies.sorted()
      operations = sorted.count
      guard !sorted.isEmpty else { return }
      p50 = sorted[sorted.count / 2]
      p99 = sorted[min(sorted.count - 1, sorted.count * 99 / 100)]
    }
  }

  var version = Version.current
  var chunks = 0
  var chunkBytes = 0
  var datanodes = 0
  var ceilings: MachineCeilings
  /// Before the kill.
  var before = Foreground([])
  /// Reads between the kill and its detection, each of a chunk that the dead node may have.
  var undetected = Foreground([])
  var detected = 0.0
  var firstCopy = 0.0
  /// All copies are there again.
  var healed = 0.0
  /// While nothing else ran: bytes a second.
  var idleRate = 0.0
  /// While the foreground ran, with its latencies; and those in between, while repair paused.
  var loadedRate = 0.0
  var during = Foreground([])
  var between = Foreground([])
  var repairedChunks: UInt64 = 0

  init(ceilings: MachineCeilings) { self.ceilings = ceilings }

  private enum CodingKeys: String, CodingKey {
    case version, chunks, datanodes, ceilings
    case chunkBytes = "chunk_bytes"
    case before = "foreground_before"
    case undetected = "reads_before_detection"
    case detected = "detected_s"
    case firstCopy = "first_copy_s"
    case healed = "healed_s"
    case idleRate = "repair_bytes_per_s_idle"
    case loadedRate = "repair_bytes_per_s_under_load"
    case during = "foreground_during_repair"
    case between = "foreground_while_repair_pauses"
    case repairedChunks = "repaired_chunks"
  }

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  var lines: [String] {
    func text(_ format: String, _ values: any CVarArg...) -> String {
      String(format: format, arguments: values)
    }
    let share = ceilings.diskWrite > 0 ? idleRate / 1e6 / ceilings.diskWrite * 100 : 0
    func foreground(_ name: String, _ value: Foreground) -> String {
      "foreground \(name) "
        + text("%8.1f ms p50, %.1f ms p99 of %d", value.p50 * 1000, value.p99 * 1000, value.operations)
    }
    func growth(since other: Foreground) -> Double {
      other.p99 > 0 ? (during.p99 / other.p99 - 1) * 100 : 0
    }
    return [
      text("detected             %8.1f s after the kill", detected),
      text("first copy           %8.1f s", firstCopy),
      text("healed               %8.1f s, %d chunks copied", healed, Int(clamping: repairedChunks)),
      text(
        "repair, idle         %8.0f MB/s, %.0f %% of what the disk writes with sync (%.0f MB/s)",
        idleRate / 1e6,
        share, ceilings.diskWrite),
      text("repair, under load   %8.0f MB/s", loadedRate / 1e6),
      text(
        "reads, undetected    %8.1f ms p50, %.1f ms p99 of %d", undetected.p50 * 1000, undetected.p99 * 1000,
        undetected.operations),
      foreground("before   ", before),
      foreground("in turn  ", between) + " while repair pauses",
      foreground("beside it", during)
        + text(" (p99 %+.0f %%; to before the kill %+.0f %%)", growth(since: between), growth(since: before)),
    ]
  }
}
