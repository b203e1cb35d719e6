import DFSClient
import DFSCore
import Foundation

/// Values as a person reads them.
enum HumanText {
  /// RFC 3339 in UTC, to the second.
  static func time(_ time: Timestamp) -> String {
    var seconds = time_t(time.seconds)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
      + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
  }

  /// `drwxr-xr-x`
  static func mode(_ attributes: FileAttributes) -> String {
    var text = attributes.kind == .directory ? "d" : "-"
    for shift in [6, 3, 0] {
      let bits = attributes.mode >> UInt16(shift)
      text += bits & 4 != 0 ? "r" : "-"
      text += bits & 2 != 0 ? "w" : "-"
      text += bits & 1 != 0 ? "x" : "-"
    }
    return text
  }

  /// `3d 04:05:06`, `04:05`
  static func duration(_ duration: Duration) -> String {
    let seconds = max(0, duration.components.seconds)
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let clock = "\(two(seconds / 60 % 60)):\(two(seconds % 60))"
    if seconds < 3600 { return clock }
    let hours = "\(two(seconds / 3600 % 24)):\(clock)"
    return seconds < 86_400 ? hours : "\(seconds / 86_400)d \(hours)"
  }

  /// Lines whose columns are aligned: to the right where `right` says so. A long name widens its column only
  /// up to a bound.
  static func table(_ rows: [[String]], right: Set<Int> = []) -> [String] {
    let widths = columnWidths(rows)
    return rows.map { row in
      row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: max(0, widths[column] - cell.count))
        if right.contains(column) { return padding + cell }
        return column == row.count - 1 ? cell : cell + padding
      }.joined(separator: "  ")
    }
  }

  private static func columnWidths(_ rows: [[String]]) -> [Int] {
    var widths: [Int] = []
    for row in rows {
      for (column, cell) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        widths[column] = max(widths[column], min(cell.count, 60))
      }
    }
    return widths
  }

  /// A name from outside, harmless on a terminal.
  static func name(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
    return String(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : Character($0) })
  }

  static func count(_ number: Int, _ one: String, _ many: String) -> String {
    "\(number) \(number == 1 ? one : many)"
  }
}
