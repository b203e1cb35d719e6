/// The cluster's own clock, in milliseconds since 1970: kept in `m/state`, continued by the leader's
/// monotonic clock, never set. It stands still while no coordinator runs, so a wrong clock can only delay a
/// deletion.
package struct ClusterTime: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  package var rawValue: Int64
  package init(rawValue: Int64) { self.rawValue = rawValue }

  package static let zero = ClusterTime(rawValue: 0)
  package static func + (time: Self, duration: Duration) -> Self {
    Self(rawValue: time.rawValue + duration.milliseconds)
  }
  package static func - (left: Self, right: Self) -> Duration {
    .milliseconds(left.rawValue - right.rawValue)
  }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  package var description: String { "\(rawValue) ms" }

  var hour: UInt32 { UInt32(clamping: rawValue / 3_600_000) }
  /// As a key part; negative times do not occur.
  var sortable: UInt64 { UInt64(clamping: rawValue) }
}

/// A time of a file, in nanoseconds since 1970 by the wall clock of whoever gave it. Shown, never decided
/// upon.
package struct FileTime: RawRepresentable, Hashable, Sendable, Comparable {
  package var rawValue: Int64
  package init(rawValue: Int64) { self.rawValue = rawValue }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension Duration {
  package var milliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}
