import Foundation

/// Everything one run of `dfsd bench` found, as a table for people and as JSON for machines.
struct BenchReport: Codable, Sendable {
  var version: String
  var cluster: String
  var ceilings: MachineCeilings
  var results: [BenchResult] = []

  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  static let header = Self.columns(
    "case", "wall s", "CPU s", "rate", "CPU/op ms", "p50 ms", "p99 ms", "peak MB (client/coord/datanode)",
    "of ceiling")

  static func line(_ result: BenchResult) -> String {
    func decimals(_ value: Double, _ count: Int) -> String { String(format: "%.\(count)f", value) }
    func peak(_ role: String) -> String {
      result.peakResidentByRole[role].map { decimals(Double($0) / 1e6, 0) } ?? "-"
    }
    let isBulk = result.operations == 1
    let rate =
      isBulk
      ? decimals(result.megabytesPerSecond, 0) + " MB/s" : decimals(result.operationsPerSecond, 0) + "/s"
    return columns(
      result.name, decimals(result.wall, 2), decimals(result.cpu, 2), rate,
      isBulk ? "" : decimals(result.cpuPerOperation, 3), decimals(result.p50 * 1000, 2),
      decimals(result.p99 * 1000, 2),
      [peak("client"), peak("coordinator"), peak("datanode")].joined(separator: " / "),
      result.ceiling.map { decimals($0.share * 100, 0) + " % of " + $0.name } ?? "")
  }

  var ceilingLines: [String] {
    func rounded(_ value: Double) -> String { String(format: "%.0f", value) }
    return [
      "this machine: SHA-256 \(rounded(ceilings.sha256)) MB/s a core, CRC32C \(rounded(ceilings.crc32c)) MB/s a core,",
      "  loopback TCP \(rounded(ceilings.loopback)) MB/s at \(String(format: "%.2f", ceilings.loopbackCPUPerGiB)) CPU s/GiB,"
        + " disk write with sync \(rounded(ceilings.diskWrite)) MB/s,",
      "  fdatasync of 4 KiB \(rounded(ceilings.syncs))/s alone, \(rounded(ceilings.syncsOfSixteen))/s by sixteen",
    ]
  }

  private static func columns(_ texts: String...) -> String {
    let widths = [26, 8, 8, 12, 10, 9, 9, 32, 0]
    return zip(texts, widths).map { text, width in
      text.count < width
        ? text + String(repeating: " ", count: width - text.count) : text + (width > 0 ? " " : "")
    }.joined().replacing(/[ ]+$/, with: "")
  }
}
