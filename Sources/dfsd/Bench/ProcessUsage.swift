import Foundation

/// What one process has used so far: CPU time of all its threads, living and ended, and memory.
struct ProcessUsage: Sendable {
  /// User and system time. The kernel counts in hundredths of a second.
  var cpu: Duration
  /// Largest resident size since the process began, in bytes.
  var peakResident: Int64

  /// Reads `/proc`; `nil` when there is no such process.
  init?(pid: Int32) {
    guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let end = stat.lastIndex(of: ")"),
      let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
    else { return nil }
    // Behind the name, which may hold anything: state is field 3, user time 14, system time 15.
    let fields = stat[stat.index(after: end)...].split(separator: " ")
    guard fields.count > 12, let user = Int64(fields[11]), let system = Int64(fields[12]) else { return nil }
    let tick = Int64(sysconf(Int32(_SC_CLK_TCK)))
    cpu = .milliseconds((user + system) * 1000 / tick)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    let kib = line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int64($0) } ?? 0
    peakResident = kib << 10
  }

  /// Lets the peak start anew at the present size; without the right to, the peak stays the process's own.
  static func resetPeak(pid: Int32) {
    guard let file = FileHandle(forWritingAtPath: "/proc/\(pid)/clear_refs") else { return }
    try? file.write(contentsOf: Data("5".utf8))
    try? file.close()
  }
}

extension Duration {
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) / 1e18
  }
}
